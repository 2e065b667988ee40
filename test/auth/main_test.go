// Package auth_test shows how clients log in, renew their tokens and manage users and roles.
package auth_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
