package clientv3

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-semver/semver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/faultnet"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestVersionOrdersProgress(t *testing.T) {
	for v, want := range map[string]bool{
		"3.3.27": false, "3.4.24": false, "3.4.25": true, "3.4.33": true, "3.5.0": false, "3.5.7": false, "3.5.8": true,
		"3.6.0": true, "3.7.3": true, "4.0.0": true, "2.3.8": false,
	} {
		assert.Equal(t, want, versionOrdersProgress(*semver.New(v)), v)
	}
}

// TestS4ProbesAreNotShown: the client asks for progress by itself, and nobody who
// did not ask sees the answers.
func TestS4ProbesAreNotShown(t *testing.T) {
	s, c := newFakeClient(t, Config{})
	events := c.Watch(t.Context(), "k")
	eventually(t, func() bool { return progressRequests(s) >= 2 }, "progress is asked for")
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	assert.Len(t, (<-events).Events, 1)
}

func TestS6OldServersAreNotProbed(t *testing.T) {
	s, c := newFakeClient(t, Config{}, etcdfake.WithVersion("3.5.7"))
	c.Watch(t.Context(), "k")
	eventually(t, func() bool { return s.Calls("Status") > 0 }, "the version is asked for")
	time.Sleep(2 * watchProbePeriod)
	assert.Zero(t, progressRequests(s))
}

// TestS4VersionIsAskedForAgain: that a member cannot answer just now says nothing
// about its version.
func TestS4VersionIsAskedForAgain(t *testing.T) {
	s, c := newFakeClient(t, Config{})
	s.Fail("Status", 2, status.Error(codes.Unavailable, "busy"))
	c.Watch(t.Context(), "k")
	eventually(t, func() bool { return progressRequests(s) >= 2 }, "progress is asked for")
	assert.Equal(t, 3, s.Calls("Status"), "once more than it failed, and not again on the same connection")
}

// TestS4VersionIsAskedForWithANewToken: a member that was started again does not know
// simple tokens of before, and that is no version either.
func TestS4VersionIsAskedForWithANewToken(t *testing.T) {
	s := etcdfake.Start(t)
	s.EnableAuth("alice", "pw")
	c := newTestClient(t, Config{Endpoints: []string{s.Addr()}, Username: "alice", Password: "pw"})
	s.Fail("Status", 1, rpctypes.ErrGRPCInvalidAuthToken)
	c.Watch(t.Context(), "k")
	eventually(t, func() bool { return progressRequests(s) >= 2 }, "progress is asked for")
	assert.Equal(t, 2, s.Calls("Status"))
	assert.Equal(t, 2, s.Calls("Authenticate"))
}

// TestS4SilentStreamsAreAskedSeldom: a server that has answered no request for
// progress may never do so.
func TestS4SilentStreamsAreAskedSeldom(t *testing.T) {
	var p watchProbe
	asked := 0
	for range 10 * watchIdleProbe {
		if p.due() {
			asked++
		}
	}
	assert.Equal(t, watchEagerProbes+10, asked)
	p.proven = true
	assert.True(t, p.due())
}

// TestS4StreamThatNeverAnsweredIsLeftAlone: as through proxies, which do not know
// requests for progress.
func TestS4StreamThatNeverAnsweredIsLeftAlone(t *testing.T) {
	s, c := newFakeClient(t, Config{})
	s.Watch(func(ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error) error {
		return s.ServeWatch(ctx, func() (*pb.WatchRequest, error) {
			for {
				req, err := recv()
				if err != nil || req.GetProgressRequest() == nil {
					return req, err
				}
			}
		}, send)
	})
	events := c.Watch(t.Context(), "k")
	eventually(t, func() bool { return progressRequests(s) >= 5 }, "progress is asked for")
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	assert.Len(t, (<-events).Events, 1)
	_, total := s.Streams("Watch")
	assert.Equal(t, 1, total)
}

// TestS4WatchesOpenedOnASilentMember: one that has been connected to, and has gone
// silent since, does not hold up the watches whose streams are opened there.
func TestS4WatchesOpenedOnASilentMember(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	proxy := faultnet.New(t, members[0].Addr())
	c := newTestClient(t, Config{Endpoints: []string{proxy.Addr(), members[1].Addr(), members[2].Addr()}})
	eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		return err == nil && members[0].Calls("Range")*members[1].Calls("Range")*members[2].Calls("Range") > 0
	}, "all are connected")
	proxy.Blackhole(faultnet.Both)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var opening sync.WaitGroup
	for i := range 6 { // so many streams, two of them on each member
		opening.Go(func() {
			ctx := metadata.AppendToOutgoingContext(ctx, "stream", strconv.Itoa(i))
			assert.True(t, (<-c.Watch(ctx, "k", WithCreatedNotify())).Created)
		})
	}
	opening.Wait()
}

// TestS4MemberSilentFromTheStart: a watch whose member goes silent before it has
// answered any request for progress is moved all the same, whether or not the
// member's version is known.
func TestS4MemberSilentFromTheStart(t *testing.T) {
	for name, vetted := range map[string]bool{"before its version is known": false, "after that": true} {
		t.Run(name, func(t *testing.T) {
			members := etcdfake.StartCluster(t, 2)
			proxies := []*faultnet.Proxy{faultnet.New(t, members[0].Addr()), faultnet.New(t, members[1].Addr())}
			c := newTestClient(t, Config{Endpoints: []string{proxies[0].Addr(), proxies[1].Addr()}})
			eventually(t, func() bool {
				_, err := c.Get(t.Context(), "k")
				return err == nil && members[0].Calls("Range")*members[1].Calls("Range") > 0
			}, "both are connected")
			if vetted {
				ctx, cancel := context.WithCancel(t.Context())
				c.Watch(metadata.AppendToOutgoingContext(ctx, "stream", "first"), "k")
				eventually(t, func() bool { return members[0].Calls("Status")*members[1].Calls("Status") > 0 }, "versions are asked for")
				cancel()
				eventually(t, func() bool { return openWatchStreams(members[0])+openWatchStreams(members[1]) == 0 }, "the stream ends")
			}
			events := c.Watch(t.Context(), "k", WithCreatedNotify())
			require.True(t, (<-events).Created)
			proxies[openWatchStreams(members[1])].Blackhole(faultnet.Both)
			_, err := newTestClient(t, Config{Endpoints: []string{members[0].Addr()}}).Put(t.Context(), "k", "v")
			require.NoError(t, err)
			select {
			case resp := <-events:
				require.Len(t, resp.Events, 1)
			case <-time.After(10 * time.Second):
				t.Fatal("the watch was not moved")
			}
		})
	}
}

func openWatchStreams(s *etcdfake.Server) int {
	open, _ := s.Streams("Watch")
	return open
}

func progressRequests(s *etcdfake.Server) (n int) {
	for _, r := range etcdfake.RequestsOf[*pb.WatchRequest](s) {
		if r.GetProgressRequest() != nil {
			n++
		}
	}
	return n
}

// TestS6IdleWatchOutlivesACompaction: while a watch is idle, other keys change and
// are compacted during an outage. It missed nothing, so it must not end.
func TestS6IdleWatchOutlivesACompaction(t *testing.T) {
	cluster := etcdtest.Start(t)
	c := newTestClient(t, Config{Endpoints: cluster.Endpoints()})
	events := c.Watch(t.Context(), "idle")
	_, err := c.Put(t.Context(), "idle", "1")
	require.NoError(t, err)
	require.Len(t, (<-events).Events, 1)
	var rev int64
	for range 100 {
		resp, err := c.Put(t.Context(), "busy", "x")
		require.NoError(t, err)
		rev = resp.Header.Revision
	}
	time.Sleep(2*watchProbePeriod + watchProbePeriod/2) // progress moves the watch on
	_, err = c.Compact(t.Context(), rev)
	require.NoError(t, err)
	require.NoError(t, cluster.Restart())
	_, err = c.Put(t.Context(), "idle", "2")
	require.NoError(t, err)
	resp := <-events
	require.NoError(t, resp.Err())
	require.Len(t, resp.Events, 1)
	assert.Equal(t, "2", string(resp.Events[0].Kv.Value))
}

// TestS6RequestedProgressOfOldServers: before 3.4.25 and 3.5.8 servers answer a request
// for progress before they send the events that the answer speaks for. A watch that is
// cut off between the two gets them from the next stream.
func TestS6RequestedProgressOfOldServers(t *testing.T) {
	for version, want := range map[string]int64{"3.5.7": 2, "3.5.8": 6} {
		t.Run(version, func(t *testing.T) {
			s, c := newFakeClient(t, Config{}, etcdfake.WithVersion(version))
			starts := make(chan int64, 100)
			s.Watch(func(_ context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error) error {
				for {
					req, err := recv()
					if err != nil {
						return err
					}
					if create := req.GetCreateRequest(); create != nil {
						starts <- create.StartRevision
						err = send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1}, Created: true})
					} else {
						err = send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 5}, WatchId: -1})
					}
					if err != nil {
						return err
					}
				}
			})
			events := c.Watch(t.Context(), "k")
			require.Zero(t, <-starts)
			if want > 2 {
				eventually(t, func() bool { return progressRequests(s) > 0 }, "the server is trusted")
			}
			require.NoError(t, c.RequestProgress(t.Context()))
			answer := <-events
			require.True(t, answer.IsProgressNotify(), "it is shown in any case")
			require.Equal(t, 1, s.Break("Watch", rpctypes.ErrGRPCStopped))
			require.Equal(t, want, <-starts)
		})
	}
}
