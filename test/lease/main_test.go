// Package lease_test shows how leases are granted, kept alive and lost.
package lease_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
