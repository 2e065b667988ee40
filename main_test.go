package clientv3_test

import (
	"testing"

	"go.etcd.io/etcd/client/v3/internal/etcdtest"
	"go.uber.org/goleak"
)

// exampleCluster is the one server of all examples.
var exampleCluster etcdtest.Shared

func exampleEndpoints() []string { return exampleCluster.Endpoints() }

func TestMain(m *testing.M) { goleak.VerifyTestMain(exampleCluster.Around(m)) }
