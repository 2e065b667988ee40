package etcdfake

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// clock is a time that the test moves.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1_000_000+c.seconds.Load(), 0) }

// start starts a server whose leases expire by the clock.
func (c *clock) start(t *testing.T) *Server {
	t.Helper()
	s := Start(t)
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.now = c.now
	return s
}

func grantLease(t *testing.T, lc pb.LeaseClient, id, ttl int64) int64 {
	t.Helper()
	resp, err := lc.LeaseGrant(testContext(t), &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	require.NoError(t, err)
	assert.Equal(t, ttl, resp.TTL)
	return resp.ID
}

func TestLeaseLife(t *testing.T) {
	var c clock
	s := c.start(t)
	conn := dial(t, s)
	lc, kv := pb.NewLeaseClient(conn), pb.NewKVClient(conn)
	a, b := grantLease(t, lc, 0, 10), grantLease(t, lc, 77, 20)
	assert.Equal(t, int64(77), b)
	_, err := lc.LeaseGrant(testContext(t), &pb.LeaseGrantRequest{ID: 77, TTL: 5})
	assert.Equal(t, rpctypes.ErrLeaseExist, rpctypes.Error(err))
	for _, key := range []string{"k1", "k2", "moved"} {
		_, err := kv.Put(testContext(t), &pb.PutRequest{Key: []byte(key), Lease: a})
		require.NoError(t, err)
	}
	_, err = kv.Put(testContext(t), &pb.PutRequest{Key: []byte("moved"), Lease: b})
	require.NoError(t, err)

	c.seconds.Add(9)
	ttl, err := lc.LeaseTimeToLive(testContext(t), &pb.LeaseTimeToLiveRequest{ID: a, Keys: true})
	require.NoError(t, err)
	assert.Equal(t, []int64{1, 10}, []int64{ttl.TTL, ttl.GrantedTTL})
	assert.Len(t, ttl.Keys, 2)
	assert.Equal(t, []int64{a, b}, s.Leases())

	c.seconds.Add(1)
	rev := s.Revision()
	assert.Equal(t, int64(6), rev, "both keys of the expired lease go at one revision")
	got, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	require.NoError(t, err)
	assert.Equal(t, "moved", keysOf(got.Kvs))
	ttl, err = lc.LeaseTimeToLive(testContext(t), &pb.LeaseTimeToLiveRequest{ID: a})
	require.NoError(t, err)
	assert.Equal(t, int64(-1), ttl.TTL)
	_, err = lc.LeaseRevoke(testContext(t), &pb.LeaseRevokeRequest{ID: b})
	require.NoError(t, err)
	assert.Equal(t, int64(7), s.Revision())
	assert.Empty(t, s.Leases())
}

func TestKeepAliveRenews(t *testing.T) {
	var c clock
	s := c.start(t)
	lc := pb.NewLeaseClient(dial(t, s))
	kept, left := grantLease(t, lc, 0, 10), grantLease(t, lc, 0, 10)
	ka, err := lc.LeaseKeepAlive(testContext(t))
	require.NoError(t, err)
	renew := func(id int64) int64 {
		require.NoError(t, ka.Send(&pb.LeaseKeepAliveRequest{ID: id}))
		resp, err := ka.Recv()
		require.NoError(t, err)
		assert.Equal(t, id, resp.ID)
		return resp.TTL
	}
	for range 5 {
		c.seconds.Add(4)
		assert.Equal(t, int64(10), renew(kept))
	}
	assert.Zero(t, renew(left))
	assert.Equal(t, []int64{kept}, s.Leases())
	require.NoError(t, ka.CloseSend())
	_, err = ka.Recv()
	assert.Equal(t, io.EOF, err)
	assert.Equal(t, 6, s.Calls("LeaseKeepAlive"))
}

func TestManyLeasesExpireInOrder(t *testing.T) {
	var c clock
	s := c.start(t)
	lc := pb.NewLeaseClient(dial(t, s))
	for i := range int64(50) {
		grantLease(t, lc, 0, 100-i)
	}
	for left := 50; left > 0; left -= 10 {
		assert.Len(t, s.Leases(), left)
		if left == 50 {
			c.seconds.Add(50)
		}
		c.seconds.Add(10)
	}
	assert.Empty(t, s.Leases())
}

func TestExpiryIsWatched(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	id := grantLease(t, pb.NewLeaseClient(conn), 0, 1)
	w := openWatch(t, conn)
	create(t, w, &pb.WatchCreateRequest{Key: []byte("k")})
	_, err := pb.NewKVClient(conn).Put(testContext(t), &pb.PutRequest{Key: []byte("k"), Lease: id})
	require.NoError(t, err)
	assert.Equal(t, id, recvWatch(t, w).Events[0].Kv.Lease)
	assert.Equal(t, mvccpb.Event_DELETE, recvWatch(t, w).Events[0].Type,
		"nothing but the watch looks at the lease")
}
