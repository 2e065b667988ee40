package clientv3

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// TestR12MemberThatAnswersNothing: one member of three is alive and answers no
// requests, as while it defragments its store. No read fails, and most of the
// throughput is kept.
func TestR12MemberThatAnswersNothing(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	c := newTestClient(t, Config{Endpoints: []string{members[0].Addr(), members[1].Addr(), members[2].Addr()}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done, failed atomic.Int64
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() {
			for ctx.Err() == nil {
				one, cancel := context.WithTimeout(context.Background(), 2*time.Second) // not from ctx: its end is no failure
				_, err := c.Get(one, "k")
				cancel()
				if done.Add(1); err != nil {
					failed.Add(1)
					t.Log(err)
				}
				time.Sleep(time.Millisecond) // rather than as fast as they can
			}
		})
	}
	rate := func(d time.Duration) int64 {
		before := done.Load()
		time.Sleep(d)
		return (done.Load() - before) * int64(time.Second) / int64(d)
	}
	rate(time.Second)
	before := rate(time.Second)
	members[1].Delay("Range", time.Hour)
	during := rate(6 * time.Second)
	members[1].Delay("Range", 0)
	sent := members[1].Calls("Range")
	assert.Eventually(t, func() bool { return members[1].Calls("Range") > sent+100 }, 10*time.Second, 10*time.Millisecond, "trusted again")
	cancel()
	readers.Wait()
	t.Logf("%d a second before, %d meanwhile", before, during)
	assert.Zero(t, failed.Load(), "failed reads")
	assert.Greater(t, during, before/2)
}
