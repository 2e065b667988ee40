package etcdfake

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t)
		client := c.Client()
		ctx := context.Background()
		w := client.Watch(ctx, "k")
		l, err := client.Grant(ctx, 3600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Put(ctx, "k", "v", clientv3.WithLease(l.ID)); err != nil {
			t.Fatal(err)
		}
		t.Log((<-w).Events)
		start := time.Now()
		t.Log((<-w).Events, time.Since(start))
		t.Log(c.Leases(), c.Dump(""), c.Revision())
		synctest.Wait()
	})
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c := New(b)
		client := c.Client()
		if _, err := client.Put(context.Background(), "k", "v"); err != nil {
			b.Fatal(err)
		}
		client.Close()
		c.close()
	}
}
