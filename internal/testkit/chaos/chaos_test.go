package chaos

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestBreakLeavesAWholeCluster asks each member for an answer that needs the agreement
// of the cluster.
func TestBreakLeavesAWholeCluster(t *testing.T) {
	c := Start(t)
	assert.Len(t, c.ProxyEndpoints(), members)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	assert.Positive(t, c.Break(ctx, 300*time.Millisecond))
	for _, m := range c.Members() {
		kv := pb.NewKVClient(m.Conn(t))
		require.Eventually(t, func() bool {
			_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("key")})
			return err == nil
		}, time.Minute, 10*time.Millisecond, m.Name())
	}
	for _, p := range c.proxies {
		assert.Zero(t, p.Conns())
	}
}
