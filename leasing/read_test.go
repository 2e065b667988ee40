package leasing

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// sameFromCache returns a function that gets a key without a request, and compares the response
// with that of a plain client.
func sameFromCache(
	t *testing.T, kv *leasingKV, cli *counted, plain *clientv3.Client,
) func(key string, opts ...clientv3.OpOption) {
	ctx := testContext(t)
	return func(key string, opts ...clientv3.OpOption) {
		t.Helper()
		var got *clientv3.GetResponse
		require.Zero(t, cli.count(func() {
			var err error
			got, err = kv.Get(ctx, key, opts...)
			require.NoError(t, err)
		}), "%q", key)
		want, err := plain.Get(ctx, key, opts...)
		require.NoError(t, err)
		require.Equal(t, want.Kvs, got.Kvs)
		require.Equal(t, want.Count, got.Count)
		require.Equal(t, want.More, got.More)
		require.LessOrEqual(t, got.Header.Revision, want.Header.Revision)
	}
}

// TestReadsCostNoRequest: after the first read of a key, the cache answers gets of the key with all
// metadata, even after writes through this KV. It also answers gets with options, for example with
// bounds on revisions.
func TestReadsCostNoRequest(t *testing.T) {
	ctx, plain, cli := testContext(t), plainClient(t), newCounted(t)
	kv := newKV(t, cli.Client)
	same := sameFromCache(t, kv, cli, plain)

	require.Equal(t, 1, cli.count(func() {
		resp, err := kv.Get(ctx, "k")
		require.NoError(t, err)
		require.Empty(t, resp.Kvs)
	}))
	same("k")
	require.Equal(t, 1, cli.count(func() { put(t, kv, "k", "v1") }))
	same("k")
	put(t, kv, "k", "v2")
	same("k")
	put(t, kv, "k", "")
	same("k")
	put(t, kv, "k", "v3")
	put(t, kv, "k", "", clientv3.WithIgnoreValue())
	same("k")
	for _, opts := range [][]clientv3.OpOption{
		{clientv3.WithKeysOnly()}, {clientv3.WithCountOnly()}, {clientv3.WithSerializable()},
		{clientv3.WithLimit(1)},
		{clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend)},
	} {
		same("k", opts...)
	}
	require.Equal(t, 1, cli.count(func() {
		resp, err := kv.Delete(ctx, "k", clientv3.WithPrevKV())
		require.NoError(t, err)
		require.EqualValues(t, 1, resp.Deleted)
		require.Equal(t, "v3", string(resp.PrevKvs[0].Value))
	}))
	same("k")
	put(t, kv, "k", "v4")
	same("k")
	require.Equal(t, 1, cli.count(func() {
		_, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Value("k"), "=", "v4")).Then(
			clientv3.OpPut("k", "v5")).Commit()
		require.NoError(t, err)
	}))
	same("k")
	require.Equal(t, "v5", value(t, kv, "k"))
	resp, err := kv.Get(ctx, "k")
	require.NoError(t, err)
	created, modified := resp.Kvs[0].CreateRevision, resp.Kvs[0].ModRevision
	require.NotEqual(t, created, modified)
	for by := range int64(3) {
		same("k", clientv3.WithMinModRev(modified-1+by))
		same("k", clientv3.WithMaxModRev(modified-1+by))
		same("k", clientv3.WithMinCreateRev(created-1+by))
		same("k", clientv3.WithMaxCreateRev(created-1+by), clientv3.WithKeysOnly())
		same("k", clientv3.WithMaxCreateRev(created-1+by), clientv3.WithCountOnly())
	}
	same("k", clientv3.WithMaxModRev(-1), clientv3.WithLimit(1))
}

// TestEveryLinearizableGetOfAKeyTakesItsOwnership: a linearizable get of a key makes the client the
// owner, which may cache the key. This includes a get that does not return the value, for example
// with WithCountOnly.
func TestEveryLinearizableGetOfAKeyTakesItsOwnership(t *testing.T) {
	ctx := testContext(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	for key, want := range map[string]struct {
		opt      clientv3.OpOption
		isCached bool
	}{
		"part/keys":   {clientv3.WithKeysOnly(), true},
		"part/count":  {clientv3.WithCountOnly(), true},
		"part/new":    {clientv3.WithMinModRev(1 << 40), true},
		"perhaps/old": {clientv3.WithSerializable(), false},
	} {
		_, err := kv.Get(ctx, key, want.opt)
		require.NoError(t, err)
		require.Equal(t, want.isCached, kv.isCached(key), key)
	}
}

// TestReadsThatTheServerAnswers: the KV sends gets of ranges and of old revisions to the server,
// and does not answer them from the cache. The server refuses gets that are not valid.
func TestReadsThatTheServerAnswers(t *testing.T) {
	ctx, plain, cli := testContext(t), plainClient(t), newCounted(t)
	kv := newKV(t, cli.Client)
	first := put(t, plain, "k", "v1").Header.Revision
	owns(t, kv, "k")
	put(t, kv, "k", "v2")
	for name, opts := range map[string][]clientv3.OpOption{
		"range":         {clientv3.WithRange("l")},
		"prefix":        {clientv3.WithPrefix()},
		"past":          {clientv3.WithRev(first)},
		"first created": clientv3.WithFirstCreate(),
	} {
		var got *clientv3.GetResponse
		require.Equal(t, 1, cli.count(func() {
			var err error
			got, err = kv.Get(ctx, "k", opts...)
			require.NoError(t, err)
		}), name)
		want, err := plain.Get(ctx, "k", opts...)
		require.NoError(t, err)
		require.Equal(t, want.Kvs, got.Kvs, name)
		require.Equal(t, want.Header.Revision, got.Header.Revision)
	}
	_, err := kv.Get(ctx, "")
	require.ErrorIs(t, err, rpctypes.ErrEmptyKey)
	_, err = kv.Get(ctx, "k", clientv3.WithSort(clientv3.SortByKey, 77))
	require.ErrorIs(t, err, rpctypes.ErrInvalidSortOption)
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err = kv.Get(done, "k")
	require.ErrorIs(t, err, context.Canceled)
}

// TestKeysOnLeasesAreNotCached: a leasing KV does not cache a key that is attached to a lease. When
// the lease expires, the server deletes the key without asking the owner (the client that caches
// it).
func TestKeysOnLeasesAreNotCached(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	lease, err := plain.Grant(ctx, 60)
	require.NoError(t, err)

	put(t, plain, "leased", "v", clientv3.WithLease(lease.ID))
	resp, err := kv.Get(ctx, "leased")
	require.NoError(t, err)
	require.EqualValues(t, lease.ID, resp.Kvs[0].Lease)
	require.False(t, kv.isCached("leased"))
	require.Nil(t, leaseKeyOf(t, plain, "leased"))

	owns(t, kv, "later") // and attached to the lease by its owner
	put(t, kv, "later", "v", clientv3.WithLease(lease.ID))
	require.False(t, kv.isCached("later"))
	require.Eventually(t, func() bool {
		return leaseKeyOf(t, plain, "later") == nil
	}, eventually, tick)

	_, err = plain.Revoke(ctx, lease.ID)
	require.NoError(t, err)
	for _, key := range []string{"leased", "later"} {
		resp, err := kv.Get(ctx, key)
		require.NoError(t, err)
		require.Empty(t, resp.Kvs)
	}
}

// TestResponsesArePrivate: a caller that changes a response, or the value that it has put, does not
// change what later gets return.
func TestResponsesArePrivate(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	put(t, plain, "k", "value")
	value := []byte("other")
	op := clientv3.OpPut("w", "")
	op.WithValueBytes(value)
	owns(t, kv, "w")
	_, err := kv.Do(ctx, op)
	require.NoError(t, err)
	value[0] = 'X'
	for range 3 {
		resp, err := kv.Get(ctx, "k")
		require.NoError(t, err)
		require.Equal(t, "value", string(resp.Kvs[0].Value))
		require.Equal(t, "k", string(resp.Kvs[0].Key))
		require.Positive(t, resp.Header.Revision)
		resp.Kvs[0].Value[0], resp.Kvs[0].Key[0], resp.Header.Revision = 'X', 'X', -1
		_ = append(resp.Kvs[0].Key, 'X')
		resp.Kvs[0] = nil

		resp, err = kv.Get(ctx, "w")
		require.NoError(t, err)
		require.Equal(t, "other", string(resp.Kvs[0].Value))
	}
}

// TestReadsShareOneAcquisition: many gets of a key at the same time make one request.
func TestReadsShareOneAcquisition(t *testing.T) {
	fake := etcdfake.New(t)
	cli := newClient(t, fake.Listen())
	kv := newKV(t, cli)
	release := make(chan struct{})
	fake.On("Txn", func(call *etcdfake.Call) etcdfake.Action {
		select {
		case <-release:
		case <-call.Context().Done():
		}
		return etcdfake.Pass()
	})
	var reads sync.WaitGroup
	for range 20 {
		reads.Go(func() {
			_, err := kv.Get(testContext(t), "k")
			require.NoError(t, err)
		})
	}
	require.Eventually(t, func() bool { return fake.Calls("Txn") == 1 }, eventually, tick)
	short, cancel := context.WithTimeout(testContext(t), tick)
	defer cancel()
	_, err := kv.Get(short, "k")
	require.ErrorIs(t, err, context.DeadlineExceeded, "each waits no longer than its context")
	close(release)
	reads.Wait()
	require.Equal(t, 1, fake.Calls("Txn"))
}

// TestHeaderIsTheLatestSeen: the header of an answer from the cache has at least the revision of
// every response that the KV returned before.
func TestHeaderIsTheLatestSeen(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	owns(t, kv, "k")
	put(t, plain, "other", "v")
	other, err := kv.Get(ctx, "other")
	require.NoError(t, err)
	resp, err := kv.Get(ctx, "k")
	require.NoError(t, err)
	require.True(t, kv.isCached("k"))
	require.GreaterOrEqual(t, resp.Header.Revision, other.Header.Revision)
	require.Equal(t, other.Header.ClusterId, resp.Header.ClusterId)
}

// TestGetStreamSeesOwnWrites: GetStream, which reads a range in several responses, includes what
// the KV has just written.
func TestGetStreamSeesOwnWrites(t *testing.T) {
	ctx := testContext(t)
	plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	for _, key := range []string{"s/1", "s/2", "s/3"} {
		owns(t, kv, key)
		put(t, kv, key, "v")
	}
	stream, err := kv.GetStream(ctx, "s/", clientv3.WithPrefix())
	require.NoError(t, err)
	resp, err := clientv3.GetStreamToGetResponse(stream)
	require.NoError(t, err)
	require.Len(t, resp.Kvs, 3)

	abandoned, cancel := context.WithCancel(ctx)
	_, err = kv.GetStream(abandoned, "s/", clientv3.WithPrefix())
	require.NoError(t, err)
	cancel() // TestMain finds goroutines that are left
}
