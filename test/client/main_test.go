// Package client_test shows how clients connect, choose members and follow changes of endpoints,
// and how they manage and maintain a cluster.
package client_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
