package etcdfake_test

import (
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// benchmarkTest measures a whole test: a cluster, its clients, and their end.
func benchmarkTest(b *testing.B, test func(*testing.T)) {
	for b.Loop() {
		runInRealTime(test)
	}
}

// BenchmarkFirstPut starts a cluster and a client, and puts a key.
func BenchmarkFirstPut(b *testing.B) {
	benchmarkTest(b, func(t *testing.T) {
		mustPut(t, etcdfake.New(t).Client(), "k", "v")
	})
}

// BenchmarkFailover waits until a lease of 60 virtual seconds has expired.
func BenchmarkFailover(b *testing.B) {
	benchmarkTest(b, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := etcdfake.New(t)
			client := c.Client()
			lease, err := client.Grant(t.Context(), 60)
			if err != nil {
				t.Fatal(err)
			}
			mustPut(t, client, "k", "v", clientv3.WithLease(lease.ID))
			w := client.Watch(t.Context(), "k")
			start := time.Now()
			if nextEvents(t, w); time.Since(start) != time.Minute {
				t.Fatal(time.Since(start))
			}
		})
	})
}
