package clientv3util_test

import (
	"testing"

	"go.uber.org/goleak"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

var cluster etcdtest.Shared

func endpoints() []string { return cluster.Endpoints() }

func TestMain(m *testing.M) { goleak.VerifyTestMain(cluster.Around(m)) }
