package clientv3_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// TestProgressBesideACompactedWatch has one watch of a stream end by compaction. A server keeps it
// among the stream's watches until it is told, as one that lags behind, and answers no request for
// progress meanwhile.
func TestProgressBesideACompactedWatch(t *testing.T) {
	client := newClient(t, etcdtest.Start(t))
	var rev int64
	for range 3 {
		rev = mustPut(t, client, "k", "v")
	}
	_, err := client.Compact(t.Context(), rev)
	require.NoError(t, err)

	healthy := client.Watch(t.Context(), "k")
	compacted := client.Watch(t.Context(), "k", clientv3.WithRev(1))
	last := <-compacted
	require.ErrorIs(t, last.Err(), rpctypes.ErrCompacted)
	require.Eventually(t, func() bool {
		require.NoError(t, client.RequestProgress(t.Context()))
		select {
		case resp := <-healthy:
			require.True(t, resp.IsProgressNotify())
			return true
		default:
			return false
		}
	}, patience, time.Millisecond)
}
