package clientv3_test

import (
	"os"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// soak skips tests that take minutes, unless they are asked for.
func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("ETCD_SOAK") == "" {
		t.Skip("takes minutes; run it with: make soak")
	}
}

func TestSoakFiftyThousandLeasesOnAFake(t *testing.T) {
	soak(t)
	fake := etcdfake.Start(t, etcdfake.WithCanned()) // no log of requests
	scale{
		leases: 50_000, ttl: 10, duration: time.Minute,
		requests: func() int { return fake.Calls("LeaseKeepAlive") },
	}.run(t, openFake(t, fake))
}

func TestSoakFiveThousandLeasesOnARealServer(t *testing.T) {
	soak(t)
	cluster := etcdtest.Start(t)
	scale{
		leases: 5000, ttl: 10, duration: time.Minute,
		requests: func() int { return received(t, cluster) },
	}.run(t, openClient(t, cluster))
}
