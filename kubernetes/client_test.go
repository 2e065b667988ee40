package kubernetes_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

func put(t *testing.T, k kubernetes.Interface, key, value string, rev int64) int64 {
	t.Helper()
	resp, err := k.OptimisticPut(t.Context(), key, []byte(value), rev, kubernetes.PutOptions{})
	require.NoError(t, err)
	require.True(t, resp.Succeeded)
	return resp.Revision
}

func TestNewSetsKubernetes(t *testing.T) {
	c := newClient(t, "127.0.0.1:1")
	require.Same(t, c, c.Kubernetes)
	_, err := kubernetes.New(clientv3.Config{})
	require.ErrorIs(t, err, clientv3.ErrNoAvailableEndpoints)
}

func TestGet(t *testing.T) {
	k, ctx := newClient(t, cluster.Endpoints()...).Kubernetes, t.Context()
	missing, err := k.Get(ctx, "get/a", kubernetes.GetOptions{})
	require.NoError(t, err)
	require.Nil(t, missing.KV)
	require.NotZero(t, missing.Revision)

	first := put(t, k, "get/a", "1", 0)
	second := put(t, k, "get/a", "2", first)
	now, err := k.Get(ctx, "get/a", kubernetes.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "2", string(now.KV.Value))
	require.Equal(t, second, now.KV.ModRevision)
	require.Equal(t, second, now.Revision)
	past, err := k.Get(ctx, "get/a", kubernetes.GetOptions{Revision: first})
	require.NoError(t, err)
	require.Equal(t, "1", string(past.KV.Value))
	require.Equal(t, second, past.Revision, "the store's own")

	_, err = k.Get(ctx, "get/a", kubernetes.GetOptions{Revision: second + 1000})
	require.ErrorIs(t, err, rpctypes.ErrFutureRev)
	_, err = k.Get(ctx, "", kubernetes.GetOptions{})
	require.ErrorIs(t, err, rpctypes.ErrEmptyKey)
}

func keys(kvs []*mvccpb.KeyValue) (keys []string) {
	for _, kv := range kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

func TestListAndCount(t *testing.T) {
	k, ctx := newClient(t, cluster.Endpoints()...).Kubernetes, t.Context()
	for i := range 5 {
		put(t, k, fmt.Sprintf("list/%d", i), "v", 0)
	}
	put(t, k, "list0", "the end of the prefix", 0)
	tests := []struct {
		name, prefix string
		opts         kubernetes.ListOptions
		want         []string
		count        int64
	}{
		{"all", "list/", kubernetes.ListOptions{},
			[]string{"list/0", "list/1", "list/2", "list/3", "list/4"}, 5},
		{"page", "list/", kubernetes.ListOptions{Limit: 2}, []string{"list/0", "list/1"}, 5},
		{"next page", "list/", kubernetes.ListOptions{Limit: 2, Continue: "list/1\x00"},
			[]string{"list/2", "list/3"}, 3},
		{"last page", "list/", kubernetes.ListOptions{Limit: 2, Continue: "list/4"},
			[]string{"list/4"}, 1},
		{"none", "nothing/", kubernetes.ListOptions{}, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := k.List(ctx, tt.prefix, tt.opts)
			require.NoError(t, err)
			assert.Equal(t, tt.want, keys(got.Kvs))
			assert.Equal(t, tt.count, got.Count)
			assert.NotZero(t, got.Revision)
		})
	}
	count, err := k.Count(ctx, "list/", kubernetes.CountOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 5, count)

	whole, err := k.List(ctx, "", kubernetes.ListOptions{})
	require.NoError(t, err)
	require.Subset(t, keys(whole.Kvs), []string{"list/0", "list0"})
	count, err = k.Count(ctx, "", kubernetes.CountOptions{})
	require.NoError(t, err)
	require.GreaterOrEqual(t, count, whole.Count)
}

// TestPagesOfOneRevision: a key that was put after the first page is not in the second page, which
// is read at the revision of the first.
func TestPagesOfOneRevision(t *testing.T) {
	k, ctx := newClient(t, cluster.Endpoints()...).Kubernetes, t.Context()
	for i := range 10 {
		put(t, k, fmt.Sprintf("pages/%d", i), "v", 0)
	}
	first, err := k.List(ctx, "pages/", kubernetes.ListOptions{Limit: 5})
	require.NoError(t, err)
	put(t, k, "pages/55", "late", 0)
	rest, err := k.List(ctx, "pages/", kubernetes.ListOptions{Continue: "pages/4\x00",
		Revision: first.Revision})
	require.NoError(t, err)
	require.Len(t, append(first.Kvs, rest.Kvs...), 10)
}

func TestOptimisticPut(t *testing.T) {
	c, ctx := newClient(t, cluster.Endpoints()...), t.Context()
	k, get := c.Kubernetes, kubernetes.PutOptions{GetOnFailure: true}
	created := put(t, k, "put/a", "1", 0)

	refused, err := k.OptimisticPut(ctx, "put/a", []byte("2"), 0, kubernetes.PutOptions{})
	require.NoError(t, err)
	require.Equal(t, kubernetes.PutResponse{Revision: created}, refused)
	refused, err = k.OptimisticPut(ctx, "put/a", []byte("2"), created-1, get)
	require.NoError(t, err)
	require.False(t, refused.Succeeded)
	require.Equal(t, "1", string(refused.KV.Value))
	require.Equal(t, created, refused.KV.ModRevision)
	refused, err = k.OptimisticPut(ctx, "put/missing", []byte("2"), created, get)
	require.NoError(t, err)
	require.Equal(t, kubernetes.PutResponse{Revision: created}, refused)

	done, err := k.OptimisticPut(ctx, "put/a", nil, created, get)
	require.NoError(t, err)
	require.Equal(t, kubernetes.PutResponse{Succeeded: true, Revision: created + 1}, done)

	_, err = k.OptimisticPut(ctx, "", nil, 0, get)
	require.ErrorIs(t, err, rpctypes.ErrEmptyKey)
	_, err = k.OptimisticPut(ctx, "put/leased", nil, 0, kubernetes.PutOptions{LeaseID: 4711})
	require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)
	lease, err := c.Grant(ctx, 600)
	require.NoError(t, err)
	_, err = k.OptimisticPut(ctx, "put/leased", nil, 0, kubernetes.PutOptions{LeaseID: lease.ID})
	require.NoError(t, err)
	leased, err := k.Get(ctx, "put/leased", kubernetes.GetOptions{})
	require.NoError(t, err)
	require.EqualValues(t, lease.ID, leased.KV.Lease)
}

func TestOptimisticDelete(t *testing.T) {
	k, ctx := newClient(t, cluster.Endpoints()...).Kubernetes, t.Context()
	get := kubernetes.DeleteOptions{GetOnFailure: true}
	created := put(t, k, "delete/a", "1", 0)

	refused, err := k.OptimisticDelete(ctx, "delete/a", created-1, kubernetes.DeleteOptions{})
	require.NoError(t, err)
	require.Equal(t, kubernetes.DeleteResponse{Revision: created}, refused)
	refused, err = k.OptimisticDelete(ctx, "delete/a", 0, get)
	require.NoError(t, err)
	require.False(t, refused.Succeeded)
	require.Equal(t, "1", string(refused.KV.Value))

	done, err := k.OptimisticDelete(ctx, "delete/a", created, get)
	require.NoError(t, err)
	require.Equal(t, kubernetes.DeleteResponse{Succeeded: true, Revision: created + 1}, done)
	refused, err = k.OptimisticDelete(ctx, "delete/a", created, get)
	require.NoError(t, err)
	require.Equal(t, kubernetes.DeleteResponse{Revision: created + 1}, refused)
	nothing, err := k.OptimisticDelete(ctx, "delete/a", 0, get)
	require.NoError(t, err)
	require.True(t, nothing.Succeeded)
}

// TestGuardsSerializeWriters: no increment is lost if many goroutines increment one counter.
func TestGuardsSerializeWriters(t *testing.T) {
	const writers, each = 8, 25
	k := newClient(t, cluster.Endpoints()...).Kubernetes
	rev := put(t, k, "counter", "", 0)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				assert.NoError(t, increment(t.Context(), k, rev))
			}
		})
	}
	wg.Wait()
	end, err := k.Get(t.Context(), "counter", kubernetes.GetOptions{})
	require.NoError(t, err)
	require.Len(t, end.KV.Value, writers*each)
}

// increment appends a byte to the value of the counter. Its first attempt uses the revision rev. If
// the counter has been changed since, the next attempt uses the revision in the response.
func increment(ctx context.Context, k kubernetes.Interface, rev int64) error {
	var value []byte
	for {
		resp, err := k.OptimisticPut(ctx, "counter", append(value, 'x'), rev,
			kubernetes.PutOptions{GetOnFailure: true})
		if err != nil || resp.Succeeded {
			return err
		}
		value, rev = resp.KV.Value, resp.KV.ModRevision
	}
}
