// Package fake_test shows that etcdfake answers as a real etcd does: both get random histories of
// requests, and every answer, event and error is compared.
package fake_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
