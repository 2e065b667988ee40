// Package kv_test shows what reads, writes and transactions do on servers.
package kv_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
