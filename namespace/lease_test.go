package namespace_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
)

func TestTimeToLiveReturnsOwnKeys(t *testing.T) {
	client, ctx := newClient(t, cluster.Endpoints()...), t.Context()
	kv, l := namespace.NewKV(client.KV, "lease/"), namespace.NewLease(client.Lease, "lease/")
	grant, err := l.Grant(ctx, 600)
	require.NoError(t, err)
	_, err = kv.Put(ctx, "k", "v", clientv3.WithLease(grant.ID))
	require.NoError(t, err)
	_, err = client.Put(ctx, "other/k", "v", clientv3.WithLease(grant.ID))
	require.NoError(t, err)
	resp, err := l.TimeToLive(ctx, grant.ID, clientv3.WithAttachedKeys())
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("k")}, resp.Keys)
	require.EqualValues(t, 600, resp.GrantedTTL)
	resp, err = l.TimeToLive(ctx, grant.ID)
	require.NoError(t, err)
	require.Nil(t, resp.Keys)
	_, err = l.Revoke(ctx, grant.ID)
	require.NoError(t, err)
	got, err := kv.Get(ctx, "k")
	require.NoError(t, err)
	require.Empty(t, got.Kvs)
}

// TestWhyAKeepaliveEnded: clientv3.WithKeepAliveEnd also works with the Lease of a namespace. It
// shows why a keepalive ended.
func TestWhyAKeepaliveEnded(t *testing.T) {
	client := newClient(t, cluster.Endpoints()...)
	l := namespace.NewLease(client.Lease, "lease/")
	grant, err := l.Grant(t.Context(), 600)
	require.NoError(t, err)
	ctx, end := clientv3.WithKeepAliveEnd(context.WithoutCancel(t.Context()))
	answers, err := l.KeepAlive(ctx, grant.ID)
	require.NoError(t, err)
	require.NotNil(t, <-answers)
	_, err = l.Revoke(t.Context(), grant.ID)
	require.NoError(t, err)
	for range answers {
	}
	require.Equal(t, clientv3.ErrLeaseRevoked, end.Err())
}
