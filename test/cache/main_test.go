// Package cache_test shows what caches guarantee with real servers, and what they cost.
package cache_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// shared is the cluster of all tests that need no options and stop no member.
var shared etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Around(m)) }

// patience bounds every wait of these tests. No result depends on its length.
const patience = time.Minute
