package watch_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// maxStall is the time within which a watch must deliver the next event after its member has gone
// silent.
const maxStall = 4 * time.Second

// silenceable is a cluster of fake members behind proxies, and a client that is connected to all of
// them.
type silenceable struct {
	members []*etcdfake.Server
	proxies []*faultnet.Proxy
	client  *clientv3.Client
	writer  *clientv3.Client // connected to the first member without a proxy
}

func newSilenceable(t *testing.T, members int, cfg clientv3.Config) *silenceable {
	t.Helper()
	s := &silenceable{members: etcdfake.StartCluster(t, members)}
	for _, m := range s.members {
		proxy := faultnet.New(t, m.Addr())
		s.proxies = append(s.proxies, proxy)
		cfg.Endpoints = append(cfg.Endpoints, proxy.Addr())
	}
	s.client, s.writer = testclient.New(t, cfg), testclient.OpenFake(t, s.members[0])
	testclient.Eventually(t, func() bool {
		_, err := s.client.Get(t.Context(), "k")
		served := err == nil
		for _, m := range s.members {
			served = served && m.Calls("Range") > 0
		}
		return served
	}, "the client is connected to all members")
	return s
}

// serving waits until a member has a watch stream, and returns the member's index.
func (s *silenceable) serving(t *testing.T) (at int) {
	t.Helper()
	testclient.Eventually(t, func() bool {
		for i, m := range s.members {
			if openWatchStreams(m) > 0 {
				at = i
				return true
			}
		}
		return false
	}, "a member has the watch stream")
	return at
}

func openWatchStreams(m *etcdfake.Server) int {
	open, _ := m.Streams("Watch")
	return open
}

// progressRequests returns how many requests for progress a member got.
func progressRequests(m *etcdfake.Server) (n int) {
	for _, r := range etcdfake.RequestsOf[*pb.WatchRequest](m) {
		if r.GetProgressRequest() != nil {
			n++
		}
	}
	return n
}

// TestIdleWatchOnASilentMemberStallsFourSecondsAtMost: the member of an idle watch goes silent
// right after it has sent something. Then a key of the watch changes. The client moves the watch to
// another member and delivers the change less than four seconds after the silent member's last
// bytes.
func TestIdleWatchOnASilentMemberStallsFourSecondsAtMost(t *testing.T) {
	for fault, dir := range map[string]faultnet.Direction{"blackhole": faultnet.Both,
		"one way": faultnet.ToClient} {
		for name, even := range map[string]bool{"health-aware": false, "evenly": true} {
			for kind, future := range map[string]bool{"alone": false,
				"with a future watch": true} {
				t.Run(strings.Join([]string{fault, name, kind}, " "), func(t *testing.T) {
					t.Parallel()
					stallOnASilentMember(t, dir, even, future)
				})
			}
		}
	}
}

func stallOnASilentMember(t *testing.T, dir faultnet.Direction, even, future bool) {
	s := newSilenceable(t, 2, clientv3.Config{SpreadEvenly: even})
	watch := s.client.Watch(t.Context(), "key")
	if future {
		s.client.Watch(t.Context(), "other", clientv3.WithRev(1_000_000))
	}
	at := s.serving(t)
	asked := func() int { return progressRequests(s.members[at]) }
	before := asked()
	require.Eventually(t, func() bool {
		return asked() >= before+6
	}, patience, time.Millisecond)
	begin, elapsed := time.Now(), testclient.Stopwatch(t)
	start := lastReceived(t, s.proxies[at])
	s.proxies[at].Blackhole(dir)
	put(t, s.writer, "key", "value")
	requireEvents(t, watch)
	stall := elapsed() - start.Sub(begin)
	t.Logf("stalled for %v, or %v on an idle machine", time.Since(start), stall)
	assert.Less(t, stall, maxStall)
}

// lastReceived waits until nothing has come from a member for a moment, and returns when the last
// bytes came.
func lastReceived(t *testing.T, p *faultnet.Proxy) time.Time {
	t.Helper()
	bytes, at := p.Bytes(faultnet.ToClient), time.Now()
	require.Eventually(t, func() bool {
		if now := p.Bytes(faultnet.ToClient); now != bytes {
			bytes, at = now, time.Now()
		}
		return time.Since(at) > 50*time.Millisecond
	}, patience, time.Millisecond)
	return at
}

// TestWatchesOpenedOnASilentMember: a member goes silent after the client has connected to it and
// before watch streams are opened on it. The silent member does not confirm the watches. So the
// client probes the members, and the watches are created on other members.
func TestWatchesOpenedOnASilentMember(t *testing.T) {
	s := newSilenceable(t, 3, clientv3.Config{})
	s.proxies[0].Blackhole(faultnet.Both)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	took := testclient.Stopwatch(t)
	var opening sync.WaitGroup
	for i := range 6 { // six streams, two on each member
		opening.Go(func() {
			ctx := metadata.AppendToOutgoingContext(ctx, "stream", strconv.Itoa(i))
			ch := s.client.Watch(ctx, "k", clientv3.WithCreatedNotify())
			assert.True(t, (<-ch).Created)
		})
	}
	opening.Wait()
	assert.Less(t, took(), 10*time.Second)
}

// TestWatchLeavesAMemberSilentFromTheStart: a member goes silent before it has answered any request
// for progress on a watch's stream. The watch moves to another member, whether or not the client
// knows from an earlier stream that the silent member answers such requests.
func TestWatchLeavesAMemberSilentFromTheStart(t *testing.T) {
	for name, known := range map[string]bool{"that is not known to answer": false,
		"that is": true} {
		t.Run(name, func(t *testing.T) {
			s := newSilenceable(t, 2, clientv3.Config{})
			if known {
				ctx, cancel := context.WithCancel(t.Context())
				s.client.Watch(metadata.AppendToOutgoingContext(ctx, "stream", "first"), "k")
				at := s.serving(t)
				testclient.Eventually(t, func() bool {
					return progressRequests(s.members[at]) > 1
				}, "the client asks for progress")
				cancel()
				testclient.Eventually(t, func() bool {
					return openWatchStreams(s.members[at]) == 0
				}, "the stream ends")
			}
			events := s.client.Watch(t.Context(), "k", clientv3.WithCreatedNotify())
			require.True(t, nextResponse(t, events).Created)
			s.proxies[s.serving(t)].Blackhole(faultnet.Both)
			put(t, s.writer, "k", "v")
			requireEventWithin(t, events, 10*time.Second)
		})
	}
}

// TestWatchThatFollowsAListLeavesASilentMember: a watch starts at the revision after that of a Get,
// and its member is cut off before the store changes. etcd answers no request for progress until
// the store has reached the revision that a watch starts from, so a missing answer proves nothing.
// The client probes the members instead, and the watch moves.
func TestWatchThatFollowsAListLeavesASilentMember(t *testing.T) {
	for name, before := range map[string]int{"at rest": 0, "after its first event": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSilenceable(t, 2, clientv3.Config{})
			for _, m := range s.members {
				m.Watch(withoutProgressWhileAhead(m))
			}
			events := s.client.Watch(t.Context(), "k",
				clientv3.WithRev(s.members[0].Revision()+1), clientv3.WithCreatedNotify())
			require.True(t, nextResponse(t, events).Created)
			at := s.serving(t)
			testclient.Eventually(t, func() bool {
				return progressRequests(s.members[at]) > 0
			}, "the client asks for progress")
			for range before {
				put(t, s.writer, "k", "v")
				requireEvents(t, events)
			}
			s.proxies[at].Blackhole(faultnet.Both)
			put(t, s.writer, "k", "v")
			requireEventWithin(t, events, 8*time.Second) // HTTP/2 pings would find the fault later
		})
	}
}

// requireEventWithin receives a response with one event, and fails if that takes longer than d.
func requireEventWithin(t *testing.T, ch clientv3.WatchChan, d time.Duration) {
	t.Helper()
	took := testclient.Stopwatch(t)
	nextEvent(t, ch)
	require.Less(t, took(), d, "the watch was not moved")
}

// withoutProgressWhileAhead serves one watch as etcd does: it ignores requests for progress while
// the watch starts from a revision that the store has not reached.
func withoutProgressWhileAhead(m *etcdfake.Server) etcdfake.WatchHandler {
	return func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		start := int64(0)
		return m.ServeWatch(ctx, func() (*pb.WatchRequest, error) {
			for {
				req, err := recv()
				start = max(start, req.GetCreateRequest().GetStartRevision())
				if req.GetCancelRequest() != nil {
					start = 0 // after a cancel, requests for progress are answered again
				}
				if err != nil || req.GetProgressRequest() == nil || start <= m.Revision() {
					return req, err
				}
			}
		}, send)
	}
}
