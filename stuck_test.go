package clientv3

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// TestReadsLeaveMostMembersSilent: two of three members are cut off from a client that sends few
// requests. No read fails.
func TestReadsLeaveMostMembersSilent(t *testing.T) {
	var proxies []*faultnet.Proxy
	var eps []string
	for _, m := range etcdfake.StartCluster(t, 3) {
		proxies = append(proxies, faultnet.New(t, m.Addr()))
		eps = append(eps, proxies[len(proxies)-1].Addr())
	}
	c := newTestClient(t, Config{Endpoints: eps})
	until := time.Now().Add(4 * time.Second)
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() {
			for time.Now().Before(until) {
				one, cancel := context.WithTimeout(t.Context(), 6*time.Second)
				_, err := c.Get(one, "k")
				cancel()
				assert.NoError(t, err)
				time.Sleep(100 * time.Millisecond) // rather than as fast as they can
			}
		})
	}
	time.Sleep(time.Second)
	proxies[0].Blackhole(faultnet.Both)
	proxies[1].Blackhole(faultnet.Both)
	readers.Wait()
}

// TestWritesOutlastAPause: a member that goes on after two seconds answers the writes that it has
// received, if no other request needed its connection to end.
func TestWritesOutlastAPause(t *testing.T) {
	members := etcdfake.StartCluster(t, 2)
	proxy := faultnet.New(t, members[0].Addr())
	c := newTestClient(t, Config{Endpoints: []string{proxy.Addr(), members[1].Addr()}})
	eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		return err == nil && members[0].Calls("Range")*members[1].Calls("Range") > 0
	}, "both are connected")
	proxy.Pause()
	var writers sync.WaitGroup
	for range 2 { // by turns, so that one waits on each
		writers.Go(func() {
			_, err := c.Put(t.Context(), "k", "v")
			assert.NoError(t, err)
		})
	}
	time.Sleep(2 * time.Second)
	proxy.Resume()
	writers.Wait()
	assert.Equal(t, 1, members[0].Applied("Put"))
	assert.Equal(t, 1, members[1].Applied("Put"))
}

// TestWritesOutlastAMemberThatAnswersNothing: one of three is alive and answers nothing
// for 1.5 s, while there are only writes. None fails.
func TestWritesOutlastAMemberThatAnswersNothing(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	c := newTestClient(t, Config{Endpoints: []string{members[0].Addr(), members[1].Addr(),
		members[2].Addr()}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	release := make(chan struct{})
	var silent atomic.Bool
	members[1].Unary("Put", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if silent.Load() {
			select {
			case <-release:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return members[1].Apply(ctx, "Put", req)
	})
	var writers sync.WaitGroup
	for range 20 {
		writers.Go(func() {
			for ctx.Err() == nil {
				// not with ctx: its end is no failure
				_, err := c.Put(context.Background(), "k", "v")
				assert.NoError(t, err)
			}
		})
	}
	time.Sleep(time.Second)
	silent.Store(true)
	time.Sleep(1500 * time.Millisecond)
	silent.Store(false)
	close(release)
	time.Sleep(500 * time.Millisecond)
	cancel()
	writers.Wait()
}

// TestStreamedReadLeavesASilentMember: a GetStream whose next piece takes more than half a second
// has the members probed, also on a client that asks for nothing else. Before the first piece the
// read starts again on another member.
func TestStreamedReadLeavesASilentMember(t *testing.T) {
	members := etcdfake.StartCluster(t, 2)
	proxy := faultnet.New(t, members[0].Addr())
	c := newTestClient(t, Config{Endpoints: []string{proxy.Addr(), members[1].Addr()}})
	eventually(t, func() bool {
		_, err := c.Put(t.Context(), "k", "v")
		require.NoError(t, err)
		return members[0].Calls("Put") > 0 && members[1].Calls("Put") > 0
	}, "both are in use")
	proxy.Blackhole(faultnet.Both)
	for range 2 { // one of which goes to the silent member first
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		stream, err := c.GetStream(ctx, "k")
		require.NoError(t, err)
		whole, err := GetStreamToGetResponse(stream)
		cancel()
		require.NoError(t, err)
		assert.Len(t, whole.Kvs, 1)
	}
	assert.Equal(t, 2, members[1].Calls("RangeStream"), "streamed")
}

// TestMemberThatAnswersNothing: one member of three is alive and answers no
// requests, as while it defragments its store. No read fails, and most of the
// throughput is kept.
func TestMemberThatAnswersNothing(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	c := newTestClient(t, Config{Endpoints: []string{members[0].Addr(), members[1].Addr(),
		members[2].Addr()}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done, failed atomic.Int64
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() {
			for ctx.Err() == nil {
				// not from ctx: its end is no failure
				one, cancel := context.WithTimeout(context.Background(), 2*time.Second)
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
	assert.Eventually(t, func() bool {
		return members[1].Calls("Range") > sent+100
	}, 10*time.Second, 10*time.Millisecond, "trusted again")
	cancel()
	readers.Wait()
	t.Logf("%d a second before, %d meanwhile", before, during)
	assert.Zero(t, failed.Load(), "failed reads")
	assert.Greater(t, during, before/2)
}

// TestMemberAtWorkIsNotStuck: lists that take long all fall on one of three healthy
// members, while its peers answer quickly. Each is begun once.
func TestMemberAtWorkIsNotStuck(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	var begun atomic.Int64
	var eps []string
	for _, m := range members {
		eps = append(eps, m.Addr())
		m.Unary("Range", func(ctx context.Context, req proto.Message) (proto.Message, error) {
			takes := 20 * time.Millisecond // long enough for the peers' latency to be known
			if len(req.(*pb.RangeRequest).RangeEnd) > 0 {
				begun.Add(1)
				takes = 3 * time.Second
			}
			select {
			case <-time.After(takes):
			case <-ctx.Done():
			}
			return m.Apply(ctx, "Range", req)
		})
	}
	c := newTestClient(t, Config{Endpoints: eps[:1]})
	var lists, readers sync.WaitGroup
	for range 18 {
		lists.Go(func() {
			_, err := c.Get(t.Context(), "a", WithPrefix())
			assert.NoError(t, err)
		})
	}
	eventually(t, func() bool { return begun.Load() == 18 }, "all are begun")
	c.SetEndpoints(eps...)
	ctx, cancel := context.WithCancel(t.Context())
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				_, _ = c.Get(ctx, "k")
			}
		})
	}
	lists.Wait()
	cancel()
	readers.Wait()
	assert.EqualValues(t, 18, begun.Load(), "lists begun")
}
