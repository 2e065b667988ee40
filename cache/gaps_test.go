package cache

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// TestEachConsumerGetsAGapOnce stops the cache's only member while keys are changed, and compacts
// these changes before the member starts again. Each of a thousand consumers then gets one batch of
// the keys that differ, with their old values.
func TestEachConsumerGetsAGapOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t, etcdfake.WithMembers(2))
		other := cluster.Client(func(cfg *clientv3.Config) {
			cfg.Endpoints = cluster.Endpoints()[1:]
		})
		client := cluster.Client(func(cfg *clientv3.Config) {
			cfg.Endpoints = cluster.Endpoints()[:1]
		})
		for _, key := range []string{"a/changed", "a/deleted", "a/same"} {
			mustPut(t, other, key, "old")
		}
		c := synced(t, client, "a/")
		const consumers = 1000
		batches := make([][]Batch, consumers)
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range batches {
			running.Go(func() {
				for b, err := range c.Changes(ctx) {
					if err == nil {
						batches[i] = append(batches[i], b)
					}
				}
			})
		}
		synctest.Wait()
		cluster.Member(0).Stop()
		mustPut(t, other, "a/changed", "new")
		_, err := other.Delete(t.Context(), "a/deleted")
		require.NoError(t, err)
		cluster.Compact(mustPut(t, other, "a/added", "new"))
		cluster.Member(0).Start()
		_, err = c.AtLeast(t.Context(), cluster.Revision())
		require.NoError(t, err)
		synctest.Wait()
		cancel()
		running.Wait()
		for _, got := range batches {
			require.Len(t, got, 2)
			require.True(t, got[0].Full && !got[0].Gap && len(got[0].Changes) == 3)
			require.True(t, got[1].Gap && !got[1].Full)
			require.Equal(t, cluster.Revision(), got[1].Revision)
			require.Equal(t, []string{`a/added "" → "new"`, `a/changed "old" → "new"`,
				`a/deleted "old" → ""`}, texts(got[1].Changes))
		}
		require.EqualValues(t, 2, c.Status().Lists)
	})
}

func texts(changes []Change) (all []string) {
	for _, ch := range changes {
		all = append(all, fmt.Sprintf("%s %q → %q", ch.Key, ch.Old.GetValue(), ch.New.GetValue()))
	}
	return all
}

// TestUnchangedPairsAreKept shows that a list does not replace pairs that have not changed. The
// cache keeps its old pair, so the new one takes no memory.
func TestUnchangedPairsAreKept(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		rev := mustPut(t, cluster.Client(), "a/x", "1")
		before, err := c.AtLeast(t.Context(), rev)
		require.NoError(t, err)
		c.startOver("of the test")
		_, err = c.await(t.Context(), func(v *view) bool { return v.lists == 2 })
		require.NoError(t, err)
		old, _ := before.Get("a/x")
		pair, _ := c.Snapshot().Get("a/x")
		require.Same(t, old, pair)
	})
}

// relay connects a client to the first of two clusters, and later to the second, as if the cluster
// was replaced. Its interceptors give the answers of the second cluster another cluster id.
type relay struct {
	clusters [2]*etcdfake.Cluster
	second   atomic.Bool
}

func (r *relay) options() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithContextDialer(r.dial),
		grpc.WithChainUnaryInterceptor(r.unary), grpc.WithChainStreamInterceptor(r.stream)}
}

func (r *relay) dial(ctx context.Context, address string) (net.Conn, error) {
	if r.second.Load() {
		return r.clusters[1].Dialer()(ctx, address)
	}
	return r.clusters[0].Dialer()(ctx, address)
}

func (r *relay) mark(msg any) {
	if h, ok := msg.(interface{ GetHeader() *pb.ResponseHeader }); ok && r.second.Load() {
		h.GetHeader().ClusterId++
	}
}

func (r *relay) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil {
		r.mark(reply)
	}
	return err
}

func (r *relay) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
	method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := streamer(ctx, desc, cc, method, opts...)
	return &relayedStream{s, r}, err
}

type relayedStream struct {
	grpc.ClientStream
	relay *relay
}

func (s *relayedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.relay.mark(m)
	}
	return err
}

// TestReplacedClusterIsAGap replaces a cluster by another one that has other keys and more
// revisions. The cache notices the new cluster id in an answer, and a fresh read returns the keys
// of the new cluster. Consumers get a batch that is marked as a gap.
func TestReplacedClusterIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{clusters: [2]*etcdfake.Cluster{etcdfake.New(t), etcdfake.New(t)}}
		mustPut(t, r.clusters[0].Client(), "a/x", "first")
		second := r.clusters[1].Client()
		for range 10 {
			mustPut(t, second, "a/y", "second")
		}
		client := r.clusters[0].Client(func(cfg *clientv3.Config) { cfg.DialOptions = r.options() })
		c := synced(t, client, "a/")
		var got []Batch
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		running.Go(func() {
			for b, err := range c.Changes(ctx) {
				if err == nil {
					got = append(got, b)
				}
			}
		})
		synctest.Wait()
		r.second.Store(true)
		r.clusters[0].Member(0).Stop()
		s, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a/y": "second"}, contents(s))
		synctest.Wait()
		cancel()
		running.Wait()
		require.Len(t, got, 2)
		require.True(t, got[1].Gap)
		require.Equal(t, []string{`a/x "first" → ""`, `a/y "" → "second"`}, texts(got[1].Changes))
	})
}

// TestAuditFindsAKeyTooMany shows that an audit finds a copy that differs from the server, counts
// it, and sets it right.
func TestAuditFindsAKeyTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		mustPut(t, client, "a/x", "1")
		c := synced(t, client, "a/", WithAudit(time.Minute))
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, c.Status().Audits)
		require.Zero(t, c.Status().Differences)
		c.publish(func(next *view) {
			next.tree = next.tree.Set(&pair{Key: []byte("a/wrong"), ModRevision: 1})
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 1, c.Status().Differences)
		require.Equal(t, map[string]string{"a/x": "1"}, contents(c.Snapshot()))
		require.EqualValues(t, 2, c.Status().Lists)
	})
}

// TestACopyThatIsWrongIsNotFresh shows that Fresh waits for the end of a list that began because an
// audit has found the copy to be wrong.
func TestACopyThatIsWrongIsNotFresh(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mustPut(t, c.client, "a/x", "1")
		_, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		c.publish(func(next *view) {
			next.tree = next.tree.Set(&pair{Key: []byte("a/wrong"), ModRevision: 1})
		})
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			if call.Request.(*pb.RangeRequest).Limit > 0 {
				return etcdfake.Delay(5 * time.Second)
			}
			return etcdfake.Pass()
		})
		require.NoError(t, c.auditOnce())
		require.EqualValues(t, 1, c.Status().Differences)
		s, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a/x": "1"}, contents(s))
	})
}

// TestAuditSurvivesCompactions shows that an audit whose revision is compacted tries again at a
// later revision, even if nothing in the range changes.
func TestAuditSurvivesCompactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		c := synced(t, client, "a/", WithAudit(time.Minute))
		cluster.Compact(mustPut(t, client, "b", "1"))
		time.Sleep(2 * time.Minute)
		require.NotZero(t, c.Status().Audits)
		require.EqualValues(t, 1, c.Status().Lists)
	})
}

// TestRefusalEndsTheCache revokes the permission of a cache that has read its range, and opens a
// cache for a user who never had the permission. Both caches end with the server's error. An outage
// and an expired token do not end a cache.
func TestRefusalEndsTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t, etcdfake.WithUsers(
			etcdfake.User{Name: "u", Password: "u", Permissions: []*authpb.Permission{{
				PermType: authpb.READ, Key: []byte("a/"), RangeEnd: []byte("a0"),
			}}}))
		as := func(name string) *clientv3.Client {
			return cluster.Client(func(cfg *clientv3.Config) {
				cfg.Username, cfg.Password = name, name
			})
		}
		root, user := as("root"), as("u")
		c := synced(t, user, "a/", WithAudit(time.Minute))
		refused, err := New(user, "b/")
		require.NoError(t, err)
		defer refused.Close()
		requireRefusal(t, refused, refused.WaitSynced(t.Context()))

		cluster.ExpireTokens()
		cluster.Member(0).Cut()
		synctest.Wait()
		_, err = c.AtLeast(t.Context(), mustPut(t, root, "a/x", "1"))
		require.NoError(t, err)
		_, err = root.RoleRevokePermission(t.Context(), "u", "a/", "a0")
		require.NoError(t, err)
		time.Sleep(5 * time.Minute)
		_, err = c.AtLeast(t.Context(), 1)
		requireRefusal(t, c, err)
		require.Len(t, contents(c.Snapshot()), 1, "the last state stays")
	})
}

func requireRefusal(t *testing.T, c *Cache, err error) {
	t.Helper()
	require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
	require.ErrorIs(t, c.Status().Err, rpctypes.ErrPermissionDenied)
	for _, err := range c.Changes(t.Context()) {
		require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
	}
}

// TestTooLarge shows that a cache ends if its range is larger than WithMaxBytes, both in the first
// list and after a later write.
func TestTooLarge(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, _ *Cache) {
		client := cluster.Client()
		mustPut(t, client, "a/x", "1234567")
		small, err := New(client, "a/", WithMaxBytes(9))
		require.NoError(t, err)
		defer small.Close()
		err = small.WaitSynced(t.Context())
		require.ErrorIs(t, err, ErrTooLarge)
		require.ErrorContains(t, err, "WithMaxBytes(9)")
		c := synced(t, client, "a/", WithMaxBytes(10))
		_, err = c.AtLeast(t.Context(), mustPut(t, client, "a/x", "12345678"))
		require.ErrorIs(t, err, ErrTooLarge)
	})
}

// TestPageLargerThanTheClientTakes shows that the cache halves its pages if they are larger than
// the client's limit for a response.
func TestPageLargerThanTheClientTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		for i := range 20 {
			mustPut(t, client, fmt.Sprintf("a/%02d", i), "0123456789")
		}
		var large atomic.Int64
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			if req, ok := call.Request.(*pb.RangeRequest); ok && req.Limit > 7 {
				large.Add(1)
				return etcdfake.Refuse(status.Error(codes.ResourceExhausted, "larger than max"))
			}
			return etcdfake.Pass()
		})
		c := synced(t, client, "a/")
		require.Equal(t, 20, c.Snapshot().Len())
		require.NotZero(t, large.Load())
	})
}
