package faults_test

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

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestReadsLeaveMostMembersSilent: two of three members are cut off from a client that sends few
// requests. No read fails.
func TestReadsLeaveMostMembersSilent(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	var proxies []*faultnet.Proxy
	var eps []string
	for _, m := range members {
		proxies = append(proxies, faultnet.New(t, m.Addr()))
		eps = append(eps, proxies[len(proxies)-1].Addr())
	}
	c := testclient.New(t, clientv3.Config{Endpoints: eps})
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() {
			for !stop.Load() {
				one, cancel := context.WithTimeout(t.Context(), 6*time.Second)
				_, err := c.Get(one, "k")
				cancel()
				assert.NoError(t, err)
				time.Sleep(100 * time.Millisecond) // few requests
			}
		})
	}
	testclient.Eventually(t, func() bool {
		return members[0].Calls("Range") > 0 && members[1].Calls("Range") > 0 &&
			members[2].Calls("Range") > 0
	}, "all members are connected")
	proxies[0].Blackhole(faultnet.Both)
	proxies[1].Blackhole(faultnet.Both)
	time.Sleep(3 * time.Second) // how long the fault lasts
	stop.Store(true)
	readers.Wait()
}

// TestWritesOutlastAPause: a member that pauses for two seconds answers the writes that it has
// received, because the client closes no connection on which only writes are pending.
func TestWritesOutlastAPause(t *testing.T) {
	members := etcdfake.StartCluster(t, 2)
	proxy := faultnet.New(t, members[0].Addr())
	c := testclient.New(t, clientv3.Config{Endpoints: []string{proxy.Addr(), members[1].Addr()}})
	testclient.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		return err == nil && members[0].Calls("Range")*members[1].Calls("Range") > 0
	}, "both members are connected")
	proxy.Pause()
	var writers sync.WaitGroup
	for range 2 { // one goes to each member
		writers.Go(func() {
			_, err := c.Put(t.Context(), "k", "v")
			assert.NoError(t, err)
		})
	}
	time.Sleep(2 * time.Second) // how long the pause lasts
	proxy.Resume()
	writers.Wait()
	assert.Equal(t, 1, members[0].Applied("Put"))
	assert.Equal(t, 1, members[1].Applied("Put"))
}

// TestWritesOutlastAMemberThatAnswersNothing: one of three members is alive and answers nothing for
// 1.5 s, while there are only writes. No write fails.
func TestWritesOutlastAMemberThatAnswersNothing(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{members[0].Addr(), members[1].Addr(),
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
				// The write does not use ctx: it would fail when ctx ends.
				_, err := c.Put(context.Background(), "k", "v")
				assert.NoError(t, err)
			}
		})
	}
	applies := func(m *etcdfake.Server) {
		t.Helper()
		before := m.Applied("Put")
		testclient.Eventually(t, func() bool { return m.Applied("Put") > before+100 },
			"the member applies writes")
	}
	for _, m := range members {
		applies(m)
	}
	silent.Store(true)
	time.Sleep(1500 * time.Millisecond) // how long the fault lasts
	silent.Store(false)
	close(release)
	applies(members[1])
	cancel()
	writers.Wait()
}

// TestStreamedReadLeavesASilentMember: a GetStream waits more than half a second for its first
// piece, so the client probes the member, although it sends no other requests. The member is
// silent, and the read starts again on another member.
func TestStreamedReadLeavesASilentMember(t *testing.T) {
	members := etcdfake.StartCluster(t, 2)
	proxy := faultnet.New(t, members[0].Addr())
	c := testclient.New(t, clientv3.Config{Endpoints: []string{proxy.Addr(), members[1].Addr()}})
	testclient.Eventually(t, func() bool {
		_, err := c.Put(t.Context(), "k", "v")
		require.NoError(t, err)
		return members[0].Calls("Put") > 0 && members[1].Calls("Put") > 0
	}, "both members are in use")
	proxy.Blackhole(faultnet.Both)
	for range 2 { // one of them goes to the silent member first
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		stream, err := c.GetStream(ctx, "k")
		require.NoError(t, err)
		whole, err := clientv3.GetStreamToGetResponse(stream)
		cancel()
		require.NoError(t, err)
		assert.Len(t, whole.Kvs, 1)
	}
	assert.Equal(t, 2, members[1].Calls("RangeStream"), "streamed")
}

// reader reads with one client again and again. It pauses between reads, so CPU is idle.
type reader struct {
	client        *clientv3.Client
	done, longest atomic.Int64
}

// run reads until ctx ends.
func (r *reader) run(t *testing.T, ctx context.Context) {
	for ctx.Err() == nil {
		// The read does not use ctx: it would fail when ctx ends.
		one, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		begin := time.Now()
		_, err := r.client.Get(one, "k")
		cancel()
		assert.NoError(t, err)
		r.done.Add(1)
		r.longest.Store(max(r.longest.Load(), int64(time.Since(begin))))
		time.Sleep(time.Millisecond)
	}
}

// TestMemberThatAnswersNothing: one of three members is alive and answers no requests, for example
// while it defragments its store. No read of a client with all three endpoints fails. The client
// still reads at more than half its rate. Its longest read takes less than two seconds longer than
// that of a second client, which has only the other two endpoints.
func TestMemberThatAnswersNothing(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	healthy := []string{members[0].Addr(), members[2].Addr()}
	all := &reader{client: testclient.New(t, clientv3.Config{
		Endpoints: append(healthy, members[1].Addr())})}
	control := &reader{client: testclient.New(t, clientv3.Config{Endpoints: healthy})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	for range 16 {
		readers.Go(func() { all.run(t, ctx) })
		readers.Go(func() { control.run(t, ctx) })
	}
	testclient.Eventually(t, func() bool {
		return members[1].Calls("Range") > 100
	}, "the member gets reads")
	rates := func(d time.Duration) (own, other float64) {
		before, otherBefore := all.done.Load(), control.done.Load()
		time.Sleep(d)
		return float64(all.done.Load()-before) / d.Seconds(),
			float64(control.done.Load()-otherBefore) / d.Seconds()
	}
	before, _ := rates(time.Second)
	members[1].Delay("Range", time.Hour)
	during, other := rates(6 * time.Second)
	members[1].Delay("Range", 0)
	sent := members[1].Calls("Range")
	testclient.Eventually(t, func() bool {
		return members[1].Calls("Range") > sent+100
	}, "the member gets reads again")
	cancel()
	readers.Wait()
	longest, othersLongest := time.Duration(all.longest.Load()),
		time.Duration(control.longest.Load())
	t.Logf("%.0f reads a second before, %.0f meanwhile, %.0f by the other client; the longest %v, and %v by the other client",
		before, during, other, longest, othersLongest)
	assert.Greater(t, during, min(before, other)/2)
	assert.Less(t, longest, othersLongest+2*time.Second)
}

// TestMemberAtWorkIsNotStuck: one of three healthy members serves reads of ranges, which take long,
// while its peers answer quickly. The client sends no such read a second time.
func TestMemberAtWorkIsNotStuck(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	var begun atomic.Int64
	var eps []string
	for _, m := range members {
		eps = append(eps, m.Addr())
		m.Unary("Range", func(ctx context.Context, req proto.Message) (proto.Message, error) {
			takes := 20 * time.Millisecond // the typical latency of the peers
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
	c := testclient.New(t, clientv3.Config{Endpoints: eps[:1]})
	var lists, readers sync.WaitGroup
	for range 18 {
		lists.Go(func() {
			_, err := c.Get(t.Context(), "a", clientv3.WithPrefix())
			assert.NoError(t, err)
		})
	}
	testclient.Eventually(t, func() bool { return begun.Load() == 18 }, "all lists are begun")
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
