// Package faults_test shows what a client can still do, and how fast, while members or the network
// fail. It measures rates, so nothing else may run at the same time: `make test` runs it by itself.
package faults_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
