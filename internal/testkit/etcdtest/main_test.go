package etcdtest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) != "" {
		runParent()
		return
	}
	goleak.VerifyTestMain(m)
}

// testContext bounds a test's requests.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// putGet writes a key and reads it back, through all members in turn.
func putGet(t *testing.T, c *Cluster, value string) {
	t.Helper()
	ctx, kv := testContext(t), pb.NewKVClient(c.Pb(t))
	_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte(value)})
	require.NoError(t, err)
	for range c.Members() {
		requireValue(t, kv, value)
	}
}

func requireValue(t *testing.T, kv pb.KVClient, value string) {
	t.Helper()
	resp, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("k")})
	require.NoError(t, err)
	require.Len(t, resp.Kvs, 1)
	require.Equal(t, value, string(resp.Kvs[0].Value))
}
