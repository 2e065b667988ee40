package kv_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// options returns its arguments.
func options(opts ...clientv3.OpOption) []clientv3.OpOption { return opts }

// all returns opts and the option for all keys.
func all(opts ...clientv3.OpOption) []clientv3.OpOption {
	return append(opts, clientv3.WithPrefix())
}

// sorted returns opts, the option for all keys, and the option that sorts them.
func sorted(
	by clientv3.SortTarget, order clientv3.SortOrder, opts ...clientv3.OpOption,
) []clientv3.OpOption {
	return all(append(opts, clientv3.WithSort(by, order))...)
}

// TestGetOptionsAgainstAServer puts five keys, and reads some of them with each option.
func TestGetOptionsAgainstAServer(t *testing.T) {
	client := testclient.Open(t, etcdtest.Start(t))
	a := mustPut(t, client, "a", "5")
	b := mustPut(t, client, "b", "4")
	mustPut(t, client, "b\xff", "3")
	c := mustPut(t, client, "c", "2")
	d := mustPut(t, client, "\xff", "1")
	mustPut(t, client, "b", "4 again") // now the last one modified

	tests := []struct {
		name  string
		key   string
		opts  []clientv3.OpOption
		want  string
		count int64
		more  bool
	}{
		{"one", "a", nil, "a", 1, false},
		{"none", "x", nil, "", 0, false},
		{"range", "a", options(clientv3.WithRange("c")), "a b b\xff", 3, false},
		{"prefix", "b", options(clientv3.WithPrefix()), "b b\xff", 2, false},
		{"prefix 0xff", "\xff", options(clientv3.WithPrefix()), "\xff", 1, false},
		{"empty prefix", "", options(clientv3.WithPrefix()), "a b b\xff c \xff", 5, false},
		{"from key", "b\xff", options(clientv3.WithFromKey()), "b\xff c \xff", 3, false},
		{"from empty key", "", options(clientv3.WithFromKey()), "a b b\xff c \xff", 5, false},
		{"limit", "", all(clientv3.WithLimit(2)), "a b", 5, true},
		{"limit of all", "", all(clientv3.WithLimit(5)), "a b b\xff c \xff", 5, false},
		{"rev", "", all(clientv3.WithRev(b)), "a b", 2, false},
		{"serializable", "c", options(clientv3.WithSerializable()), "c", 1, false},
		{"count only", "", all(clientv3.WithCountOnly()), "", 5, false},
		{"key up", "", sorted(clientv3.SortByKey, clientv3.SortAscend), "a b b\xff c \xff", 5,
			false},
		{"key down", "", sorted(clientv3.SortByKey, clientv3.SortDescend), "\xff c b\xff b a", 5,
			false},
		{"value up", "", sorted(clientv3.SortByValue, clientv3.SortAscend), "\xff c b\xff b a", 5,
			false},
		{"version down", "", sorted(clientv3.SortByVersion, clientv3.SortDescend,
			clientv3.WithLimit(1)), "b", 5, true},
		{"created up", "", sorted(clientv3.SortByCreateRevision, clientv3.SortAscend),
			"a b b\xff c \xff", 5, false},
		{"modified down", "", sorted(clientv3.SortByModRevision, clientv3.SortDescend),
			"b \xff c b\xff a", 5, false},
		{"min mod", "", all(clientv3.WithMinModRev(c)), "b c \xff", 5, false},
		{"max mod", "", all(clientv3.WithMaxModRev(c)), "a b\xff c", 5, false},
		{"min create", "", all(clientv3.WithMinCreateRev(d)), "\xff", 5, false},
		{"max create", "", all(clientv3.WithMaxCreateRev(a)), "a", 5, false},
		{"first key", "b", clientv3.WithFirstKey(), "b", 2, true},
		{"last key", "b", clientv3.WithLastKey(), "b\xff", 2, true},
		{"first create", "", clientv3.WithFirstCreate(), "a", 5, true},
		{"last create", "", clientv3.WithLastCreate(), "\xff", 5, true},
		{"first rev", "", clientv3.WithFirstRev(), "a", 5, true},
		{"last rev", "", clientv3.WithLastRev(), "b", 5, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			get, err := client.Get(t.Context(), tt.key, tt.opts...)
			require.NoError(t, err)
			got := []any{keysOf(get.Kvs), get.Count, get.More}
			assert.Equal(t, []any{tt.want, tt.count, tt.more}, got)
		})
	}
	requireKeysOnly(t, client, 5)
}

// requireKeysOnly reads all keys with WithKeysOnly. It expects n keys without values.
func requireKeysOnly(t *testing.T, client *clientv3.Client, n int) {
	keysOnly, err := client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	require.NoError(t, err)
	assert.Len(t, keysOnly.Kvs, n)
	for _, kv := range keysOnly.Kvs {
		assert.Empty(t, kv.Value)
	}
}

func TestPutOptionsAgainstAServer(t *testing.T) {
	cluster := etcdtest.Start(t)
	client, ctx := testclient.Open(t, cluster), t.Context()
	grant, err := pb.NewLeaseClient(cluster.Pb(t)).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 600})
	require.NoError(t, err)
	lease := clientv3.LeaseID(grant.ID)
	get := func() *mvccpb.KeyValue {
		resp, err := client.Get(ctx, "k")
		require.NoError(t, err)
		require.Len(t, resp.Kvs, 1)
		return resp.Kvs[0]
	}

	put, err := client.Put(ctx, "k", "one", clientv3.WithLease(lease), clientv3.WithPrevKV())
	require.NoError(t, err)
	assert.Nil(t, put.PrevKv)
	assert.EqualValues(t, lease, get().Lease)

	put, err = client.Put(ctx, "k", "two", clientv3.WithIgnoreLease(), clientv3.WithPrevKV())
	require.NoError(t, err)
	assert.Equal(t, "one", string(put.PrevKv.Value))
	assert.EqualValues(t, lease, get().Lease)

	_, err = client.Put(ctx, "k", "", clientv3.WithIgnoreValue())
	require.NoError(t, err)
	assert.Equal(t, "two", string(get().Value))
	assert.EqualValues(t, clientv3.NoLease, get().Lease, "a put without lease detaches the key")

	refusals := map[string]struct {
		key, val string
		opts     []clientv3.OpOption
		want     error
	}{
		"empty key": {"", "v", nil, rpctypes.ErrEmptyKey},
		"no value to keep": {"x", "", []clientv3.OpOption{clientv3.WithIgnoreValue()},
			rpctypes.ErrKeyNotFound},
		"no lease to keep": {"x", "v", []clientv3.OpOption{clientv3.WithIgnoreLease()},
			rpctypes.ErrKeyNotFound},
		"two values": {"k", "v", []clientv3.OpOption{clientv3.WithIgnoreValue()},
			rpctypes.ErrValueProvided},
		"two leases": {"k", "v", []clientv3.OpOption{clientv3.WithIgnoreLease(),
			clientv3.WithLease(lease)}, rpctypes.ErrLeaseProvided},
		"unknown lease": {"k", "v", []clientv3.OpOption{clientv3.WithLease(lease + 1)},
			rpctypes.ErrLeaseNotFound},
		"too large": {"k", strings.Repeat("v", 1700<<10), nil, rpctypes.ErrRequestTooLarge},
	}
	for name, tt := range refusals {
		_, err := client.Put(ctx, tt.key, tt.val, tt.opts...)
		assert.Equal(t, tt.want, err, name)
	}
	assert.Equal(t, "two", string(get().Value))
}

// TestRequestOverTheSendLimit shows that a request over the limit fails before it is sent, with an
// error that names the limit.
func TestRequestOverTheSendLimit(t *testing.T) {
	client := testclient.Open(t, etcdtest.Start(t))
	_, err := client.Put(t.Context(), "k", strings.Repeat("v", 3<<20))
	assert.Equal(t, codes.ResourceExhausted, status.Code(err))
	assert.ErrorContains(t, err, "larger than max")
	assert.ErrorContains(t, err, fmt.Sprint(2<<20))
}

func TestDeleteAgainstAServer(t *testing.T) {
	client, ctx := testclient.Open(t, etcdtest.Start(t)), t.Context()
	fill := func() {
		for _, key := range []string{"a", "b/1", "b/2", "c"} {
			mustPut(t, client, key, "value of "+key)
		}
	}
	tests := []struct {
		name       string
		key        string
		opts       []clientv3.OpOption
		gone, left string
	}{
		{"one", "a", nil, "a", "b/1 b/2 c"},
		{"none", "x", nil, "", "a b/1 b/2 c"},
		{"prefix", "b/", []clientv3.OpOption{clientv3.WithPrefix()}, "b/1 b/2", "a c"},
		{"range", "a", []clientv3.OpOption{clientv3.WithRange("b/2")}, "a b/1", "b/2 c"},
		{"from key", "b/2", []clientv3.OpOption{clientv3.WithFromKey()}, "b/2 c", "a b/1"},
		{"all", "", []clientv3.OpOption{clientv3.WithPrefix()}, "a b/1 b/2 c", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fill()
			del, err := client.Delete(ctx, tt.key, append(tt.opts, clientv3.WithPrevKV())...)
			require.NoError(t, err)
			assert.Equal(t, tt.gone, keysOf(del.PrevKvs))
			assert.EqualValues(t, len(del.PrevKvs), del.Deleted)
			left, err := client.Get(ctx, "", clientv3.WithFromKey())
			require.NoError(t, err)
			assert.Equal(t, tt.left, keysOf(left.Kvs))
		})
	}
	_, err := client.Delete(ctx, "")
	assert.Equal(t, rpctypes.ErrEmptyKey, err)
}

func TestCompactAgainstAServer(t *testing.T) {
	client, ctx := testclient.Open(t, etcdtest.Start(t)), t.Context()
	old := mustPut(t, client, "k", "old")
	latest := mustPut(t, client, "k", "new")

	_, err := client.Compact(ctx, latest+1)
	assert.Equal(t, rpctypes.ErrFutureRev, err)
	_, err = client.Compact(ctx, latest, clientv3.WithCompactPhysical())
	require.NoError(t, err)
	_, err = client.Compact(ctx, latest)
	assert.Equal(t, rpctypes.ErrCompacted, err)

	_, err = client.Get(ctx, "k", clientv3.WithRev(old))
	assert.Equal(t, rpctypes.ErrCompacted, err)
	_, err = client.Get(ctx, "k", clientv3.WithRev(latest+1))
	assert.Equal(t, rpctypes.ErrFutureRev, err)
	get, err := client.Get(ctx, "k", clientv3.WithRev(latest))
	require.NoError(t, err)
	assert.Equal(t, "new", string(get.Kvs[0].Value))
}
