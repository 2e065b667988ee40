package snapshot

import (
	"testing"

	"go.uber.org/goleak"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// shared is the cluster of the examples.
var shared etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Around(m)) }
