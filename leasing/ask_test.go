package leasing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// These tests write lease keys (keys that mark which client owns a key) as another client would.
// They check what a leasing KV writes to lease keys, and when it deletes them.

// TestLeaseKeysAreAsOtherClientsExpect: a lease key, which marks that a client owns a key, is
// empty, and attached to the lease of the client's session.
func TestLeaseKeysAreAsOtherClientsExpect(t *testing.T) {
	plain := plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	owns(t, kv, "k")
	leaseKey := leaseKeyOf(t, plain, "k")
	require.Empty(t, leaseKey.Value)
	require.EqualValues(t, kv.cache.epoch.lease, leaseKey.Lease)
	put(t, kv, "k", "v")
	require.Equal(t, leaseKey, leaseKeyOf(t, plain, "k"), "an owner's writes leave it alone")
}

// TestOwnersGiveKeysUpWhenAsked: an owner is a client that caches a key. When another client asks
// it to release the key, the owner does so at once, and does not cache the key again for a while.
func TestOwnersGiveKeysUpWhenAsked(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	owns(t, kv, "k")
	owns(t, kv, "other")

	put(t, plain, pfx+"k", revokeValue, clientv3.WithIgnoreLease())
	require.Eventually(t, func() bool { return leaseKeyOf(t, plain, "k") == nil }, eventually, tick)
	require.False(t, kv.isCached("k"))
	require.True(t, kv.isCached("other"))
	_, err := kv.Get(ctx, "k")
	require.NoError(t, err)
	require.Nil(t, leaseKeyOf(t, plain, "k"), "the key has a cooldown")
	put(t, plain, "k", "written meanwhile")
	require.Equal(t, "written meanwhile", value(t, kv, "k"))
	owns(t, kv, "k")
	require.Equal(t, "written meanwhile", value(t, kv, "k"))
}

// TestOwnersNoticeWhatHappensToTheirLeaseKey: an owner no longer answers a key from the cache after
// its lease key was deleted, even if another client then puts the lease key again.
func TestOwnersNoticeWhatHappensToTheirLeaseKey(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	owns(t, kv, "k")
	_, err := plain.Delete(ctx, pfx+"k")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !kv.isCached("k") }, eventually, tick)

	owns(t, kv, "k")
	_, err = plain.Delete(ctx, pfx+"k")
	require.NoError(t, err)
	put(t, plain, pfx+"k", "")
	require.Eventually(t, func() bool { return !kv.isCached("k") }, eventually, tick)
	require.NotNil(t, leaseKeyOf(t, plain, "k"), "another client's lease key is left alone")
}

// TestWritersAskAndWait: a writer asks the client that owns a key to give it up, and waits until
// the owner's lease key (the key that marks the ownership) is gone. To ask, the writer puts
// revokeValue into the lease key. This put does not detach the lease key from its lease.
func TestWritersAskAndWait(t *testing.T) {
	for name, write := range map[string]func(*leasingKV) error{
		"put": func(l *leasingKV) error { _, err := l.Put(testContext(t), "k", "v"); return err },
		"range": func(l *leasingKV) error {
			_, err := l.Delete(testContext(t), "k", clientv3.WithPrefix())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, plain := testContext(t), plainClient(t)
			kv := newKV(t, newClient(t, shared.Endpoints()...))
			lease, err := plain.Grant(ctx, 60)
			require.NoError(t, err)
			put(t, plain, pfx+"k", "", clientv3.WithLease(lease.ID))
			before := leaseKeyOf(t, plain, "k")

			_, err = kv.Get(ctx, "k")
			require.NoError(t, err)
			require.Equal(t, before, leaseKeyOf(t, plain, "k"), "readers do not ask")
			done := make(chan error, 1)
			go func() { done <- write(kv) }()
			var asked *mvccpb.KeyValue
			require.Eventually(t, func() bool {
				asked = leaseKeyOf(t, plain, "k")
				return string(asked.Value) == revokeValue
			}, eventually, tick)
			require.EqualValues(t, lease.ID, asked.Lease)
			require.Equal(t, before.CreateRevision, asked.CreateRevision)
			select {
			case err := <-done:
				require.FailNow(t, "it did not wait", "%v", err)
			case <-time.After(50 * time.Millisecond):
			}
			_, err = plain.Revoke(ctx, lease.ID)
			require.NoError(t, err)
			require.NoError(t, <-done)
		})
	}
}

// TestWritersWaitForTheNextOwnerToo: after the owner of a key has released it, another client may
// become the owner before the writer tries again. The writer then asks that client to release the
// key.
func TestWritersWaitForTheNextOwnerToo(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	put(t, plain, pfx+"k", "")
	done := make(chan error, 1)
	go func() { _, err := kv.Put(ctx, "k", "v"); done <- err }()
	for range 6 {
		require.Eventually(t, func() bool {
			return string(leaseKeyOf(t, plain, "k").GetValue()) == revokeValue
		}, eventually, tick)
		_, err := plain.Txn(ctx).Then(clientv3.OpTxn(nil,
			[]clientv3.Op{clientv3.OpDelete(pfx + "k")}, nil)).Commit()
		require.NoError(t, err)
		_, err = plain.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision("k"), "=", 0)).Then(
			clientv3.OpPut(pfx+"k", "")).Commit()
		require.NoError(t, err)
		if leaseKeyOf(t, plain, "k") == nil {
			break // the writer was quicker
		}
	}
	_, err := plain.Delete(ctx, pfx+"k")
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.Equal(t, "v", value(t, kv, "k"))
}
