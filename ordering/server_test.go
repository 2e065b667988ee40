package ordering

import (
	"testing"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// TestServersApart: one of two independent servers is behind, like a member that is cut off from
// its peers. No read returns the old value on that server.
func TestServersApart(t *testing.T) {
	ahead, behind := etcdtest.Start(t), etcdtest.Start(t)
	eps := append(ahead.Endpoints(), behind.Endpoints()...)
	client := newClient(t, eps...)
	kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
	client.SetEndpoints(eps[1])
	_, err := client.Put(t.Context(), "k", "old")
	require.NoError(t, err)
	client.SetEndpoints(eps[0])
	for range 10 {
		_, err := kv.Put(t.Context(), "k", "new")
		require.NoError(t, err)
	}
	client.SetEndpoints(eps...) // reads go to both servers in turn
	for range 50 {
		got, err := kv.Get(t.Context(), "k", clientv3.WithSerializable())
		require.NoError(t, err)
		require.Equal(t, "new", string(got.Kvs[0].Value))
	}
	require.Equal(t, eps[:1], client.Endpoints())

	ahead.Kill()
	client.SetEndpoints(eps[1])
	plain, err := client.Get(t.Context(), "k", clientv3.WithSerializable())
	require.NoError(t, err)
	require.Equal(t, "old", string(plain.Kvs[0].Value))
	_, err = kv.Get(t.Context(), "k", clientv3.WithSerializable())
	require.Equal(t, ErrNoGreaterRev, err)

	require.NoError(t, ahead.Restart())
	client.SetEndpoints(eps...)
	got, err := kv.Get(t.Context(), "k", clientv3.WithSerializable())
	require.NoError(t, err)
	require.Equal(t, "new", string(got.Kvs[0].Value))
}
