package leasing

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// These tests are about requests whose outcome is unknown: the server may have applied them, or may
// apply them after the client has given them up.

var (
	errLostAnswer = status.Error(codes.Unavailable, "the answer is lost")
	errRefused    = status.Error(codes.FailedPrecondition, "refused")
)

// TestLostAnswerToAnAcquisition: the first read of a key also puts a lease key, which lets the
// client cache the key. If the response is lost, the client reads again without a lease key, and
// deletes the lease key that it may have put.
func TestLostAnswerToAnAcquisition(t *testing.T) {
	fake := etcdfake.Start(t)
	cli := newClient(t, fake.Addr())
	kv := newKV(t, cli)
	put(t, cli, "k", "v")
	fake.FailAfterApply("Txn", 1, errLostAnswer)
	require.Equal(t, "v", value(t, kv, "k"))
	require.False(t, kv.isCached("k"))
	require.Eventually(t, func() bool { return leaseKeyOf(t, cli, "k") == nil }, eventually, tick)
	owns(t, kv, "k")
}

// TestAcquisitionAppliedLate: to acquire a key for its cache, a client puts a lease key. If the
// server applies the put after the client has given up the request, the lease key is orphaned: it
// blocks the writes of other clients, although the client does not cache the key. The client finds
// the lease key and deletes it.
func TestAcquisitionAppliedLate(t *testing.T) {
	fake := etcdfake.Start(t)
	cli := newClient(t, fake.Addr())
	kv := newKV(t, cli, concurrency.WithTTL(2))
	fake.Fail("Txn", 1, errLostAnswer)
	_, err := kv.Get(testContext(t), "k")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		kv.cache.mu.RLock()
		defer kv.cache.mu.RUnlock()
		return kv.cache.ownerships["k"] == nil
	}, eventually, tick)

	// This put stands for a server that applies the lost request late.
	put(t, cli, pfx+"k", "", clientv3.WithLease(kv.cache.epoch.lease))
	require.Eventually(t, func() bool { return leaseKeyOf(t, cli, "k") == nil }, eventually, tick)

	// This KV looks for orphaned lease keys after each renewal of its lease. If a write finds one
	// before, the write does not wait for the next renewal.
	put(t, cli, pfx+"k", "", clientv3.WithLease(kv.cache.epoch.lease))
	put(t, kv, "k", "v")
	require.Nil(t, leaseKeyOf(t, cli, "k"))
}

// TestLostAnswerToAWrite: if the response to a write is lost, the client releases the key (stops
// caching it), because the cached value may be stale. If the write reaches the server only after
// the client has acquired the key again, the server does not apply it.
func TestLostAnswerToAWrite(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.Start(t)
			cli := newClient(t, fake.Addr())
			kv := newKV(t, cli)
			put(t, cli, "k", "old")
			owns(t, kv, "k")
			before := leaseKeyOf(t, cli, "k").CreateRevision
			var late *pb.TxnRequest
			fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
				fake.Unary("Txn", nil)
				late = req.(*pb.TxnRequest)
				if applied {
					_, err := fake.Apply(ctx, "Txn", req)
					require.NoError(t, err)
				}
				return nil, errLostAnswer
			})
			_, err := kv.Put(testContext(t), "k", "new")
			require.Equal(t, codes.Unavailable, status.Code(err))
			require.False(t, kv.isCached("k"))
			want := "old"
			if applied {
				want = "new"
			}
			require.Equal(t, want, value(t, kv, "k"))

			owns(t, kv, "k")
			require.Greater(t, leaseKeyOf(t, cli, "k").CreateRevision, before)
			put(t, kv, "k", "latest")
			resp, err := pb.NewKVClient(cli.ActiveConnection()).Txn(testContext(t), late)
			require.NoError(t, err)
			require.False(t, resp.Succeeded, "a write that is applied late")
			require.Equal(t, "latest", value(t, kv, "k"))
		})
	}
}

// TestRefusedWriteChangesNothing: if the server refuses a put, the cache still holds the key and
// its old value.
func TestRefusedWriteChangesNothing(t *testing.T) {
	fake := etcdfake.Start(t)
	cli := newClient(t, fake.Addr())
	kv := newKV(t, cli)
	put(t, cli, "k", "old")
	owns(t, kv, "k")
	fake.Fail("Txn", 1, errRefused)
	_, err := kv.Put(testContext(t), "k", "new")
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	require.True(t, kv.isCached("k"))
	require.Equal(t, "old", value(t, kv, "k"))
}

// TestReadsDoNotDependOnAcquisitions: a client can cache a key only if it can put a lease key. If
// it cannot, for lack of permission or of space, the server answers all reads.
func TestReadsDoNotDependOnAcquisitions(t *testing.T) {
	fake := etcdfake.Start(t)
	cli := newClient(t, fake.Addr())
	kv := newKV(t, cli)
	put(t, cli, "k", "v")
	fake.Fail("Txn", etcdfake.Forever, errRefused)
	for range 3 {
		require.Equal(t, "v", value(t, kv, "k"))
	}
	require.Equal(t, 1, fake.Calls("Txn"), "it is not tried again at once")
}

// TestReleaseGoesOnUntilItIsCertain: to release a key, the client deletes its lease key, which
// marks that it owns the key. If the response to the delete is lost, the client sends the delete
// again.
func TestReleaseGoesOnUntilItIsCertain(t *testing.T) {
	fake := etcdfake.Start(t)
	cli := newClient(t, fake.Addr())
	kv := newKV(t, cli)
	owns(t, kv, "k")
	fake.Fail("Txn", 3, errLostAnswer)
	put(t, cli, pfx+"k", revokeValue, clientv3.WithIgnoreLease())
	require.Eventually(t, func() bool { return leaseKeyOf(t, cli, "k") == nil }, eventually, tick)
}

// TestCompactedWatchOfALeaseKey: an owner watches its lease keys, because other clients write there
// to ask for a key. If the watch missed events that were compacted, the owner reads the lease key
// instead.
func TestCompactedWatchOfALeaseKey(t *testing.T) {
	ctx := testContext(t)
	far, near, proxy := cutOff(t)
	kv := newKV(t, far, concurrency.WithTTL(60))
	owns(t, kv, "missed")
	owns(t, kv, "unchanged")
	proxy.Refuse()
	proxy.Reset()
	put(t, near, pfx+"missed", revokeValue, clientv3.WithIgnoreLease())
	last := put(t, near, "something", "else")
	_, err := near.Compact(ctx, last.Header.Revision)
	require.NoError(t, err)
	proxy.Heal()
	require.Eventually(t, func() bool {
		return leaseKeyOf(t, near, "missed") == nil
	}, eventually, tick)
	require.True(t, kv.isCached("unchanged"))
	put(t, near, pfx+"unchanged", revokeValue, clientv3.WithIgnoreLease())
	require.Eventually(t, func() bool {
		return leaseKeyOf(t, near, "unchanged") == nil
	}, eventually, tick)
}

// TestRefusedWatchOfALeaseKey: an owner watches its lease keys to notice when a writer asks for a
// key. If the server refuses the watch, for example after a change of permissions, the owner
// releases the key.
func TestRefusedWatchOfALeaseKey(t *testing.T) {
	fake := etcdfake.Start(t)
	fake.Watch(func(_ context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		for {
			req, err := recv()
			if err != nil {
				return err
			}
			if create := req.GetCreateRequest(); create != nil {
				refusal := &pb.WatchResponse{
					Header: &pb.ResponseHeader{Revision: 1}, WatchId: -1, Created: true,
					Canceled:     true,
					CancelReason: rpctypes.ErrGRPCPermissionDenied.Error(),
				}
				if err := send(refusal); err != nil {
					return err
				}
			}
		}
	})
	cli := newClient(t, fake.Addr())
	kv := newKV(t, cli)
	_, err := kv.Get(testContext(t), "k")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return !kv.isCached("k") && leaseKeyOf(t, cli, "k") == nil
	}, eventually, tick)
}
