package etcdfake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// In these tests, virtual time passes while a watch is open. With the published client it would not
// pass: its watch waits for a channel that was made outside of the synctest bubble.

// A lagging member answers serializable reads at once with the old value. It answers linearizable
// reads and delivers watch events only when it has caught up.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := etcdfake.New(t, etcdfake.WithMembers(2))
		leader, follower := c.Client(to(c.Member(0))), c.Client(to(c.Member(1)))
		mustPut(t, leader, "k", "1")
		c.Member(1).Lag(10 * time.Second)
		time.Sleep(time.Minute)
		mustPut(t, leader, "k", "2")
		start := time.Now()
		w := follower.Watch(t.Context(), "k")
		get, err := follower.Get(t.Context(), "k", clientv3.WithSerializable())
		require.NoError(t, err)
		assert.Equal(t, "1", string(get.Kvs[0].Value))
		assert.Equal(t, int64(2), get.Header.Revision)
		assert.Zero(t, time.Since(start))
		get, err = follower.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, "2", string(get.Kvs[0].Value))
		assert.Equal(t, 10*time.Second, time.Since(start))
		assert.Equal(t, "2", string(nextEvents(t, w).Events[0].Kv.Value))
		assert.Equal(t, 10*time.Second, time.Since(start))
		c.Member(1).Lag(0)
		get, err = follower.Get(t.Context(), "k", clientv3.WithSerializable())
		require.NoError(t, err)
		assert.Equal(t, "2", string(get.Kvs[0].Value))
	})
}

// A watch that requires a leader ends three seconds after the cluster has lost its leader. Other
// watches stay open.
func TestStreamsWithoutLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		w := client.Watch(clientv3.WithRequireLeader(t.Context()), "k")
		plain := client.Watch(t.Context(), "k")
		synctest.Wait()
		restore := c.LoseLeader()
		start := time.Now()
		resp := nextEvents(t, w)
		assert.Equal(t, rpctypes.ErrNoLeader, resp.Err())
		assert.Equal(t, 3*time.Second, time.Since(start))
		restore()
		mustPut(t, client, "k", "1")
		assert.Len(t, nextEvents(t, plain).Events, 1)
	})
}

func TestProgressIsPeriodic(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *etcdfake.Cluster, client *clientv3.Client) {
		w := client.Watch(t.Context(), "k", clientv3.WithProgressNotify())
		synctest.Wait()
		start := time.Now()
		resp := nextEvents(t, w)
		assert.True(t, resp.IsProgressNotify())
		assert.Equal(t, time.Minute, time.Since(start))
	}, etcdfake.WithProgressInterval(time.Minute))
}
