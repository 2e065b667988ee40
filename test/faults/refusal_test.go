package faults_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestRefusingMemberDrawsNoRequests: one member of three refuses every write without delay, and the
// others need 30 ms for a write. The refusing member gets few requests, although it looks the least
// busy and the quickest: the client does not count refusals as answers.
func TestRefusingMemberDrawsNoRequests(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	var eps []string
	for _, m := range members {
		m.Delay("Put", 30*time.Millisecond)
		eps = append(eps, m.Addr())
	}
	c := testclient.New(t, clientv3.Config{Endpoints: eps})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done, failed atomic.Int64
	var writers sync.WaitGroup
	for range 32 {
		writers.Go(func() {
			for ctx.Err() == nil {
				// The write does not use ctx: it would fail when ctx ends.
				_, err := c.Put(context.Background(), "k", "v")
				if done.Add(1); err != nil {
					failed.Add(1)
				}
				time.Sleep(5 * time.Millisecond) // leaves CPU idle
			}
		})
	}
	share := func(d time.Duration) float64 {
		n, f := done.Load(), failed.Load()
		time.Sleep(d)
		return float64(failed.Load()-f) / float64(done.Load()-n)
	}
	assert.Zero(t, share(time.Second))
	members[0].Delay("Put", 0)
	members[0].Fail("Put", etcdfake.Forever, status.Error(codes.Unknown, "raft proposal dropped"))
	first := share(2 * time.Second)
	testclient.Eventually(t, func() bool {
		return share(200*time.Millisecond) < 0.02
	}, "the member is passed over")
	later := share(time.Second)
	t.Logf("failed at first: %.0f %%, later: %.1f %%", 100*first, 100*later)
	assert.Less(t, first, 0.5, "not much more than its share")
	assert.Less(t, later, 0.05)
	members[0].Fail("Put", 0, nil)
	before := members[0].Applied("Put")
	testclient.Eventually(t, func() bool {
		return members[0].Applied("Put") > before+50
	}, "the member serves again")
	cancel()
	writers.Wait()
}
