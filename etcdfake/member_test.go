package etcdfake_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// A stopped member refuses connections. After the member has started again, a client's watch
// delivers the write that another member took meanwhile.
func TestStopAndStart(t *testing.T) {
	c := etcdfake.New(t, etcdfake.WithMembers(3))
	first, second := c.Client(to(c.Member(0))), c.Client(to(c.Member(1)))
	w := openWatch(t, first, "k")
	c.Member(0).Stop()
	mustPut(t, second, "k", "1")
	_, err := first.Get(within(t, 100*time.Millisecond), "k")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	c.Member(0).Start()
	assert.Equal(t, "1", string(nextEvents(t, w).Events[0].Kv.Value))
	_, err = first.Get(t.Context(), "k")
	require.NoError(t, err)
}

// Cut ends the connections of a member. The member accepts new ones, so a client's watch goes on.
func TestCut(t *testing.T) {
	c := etcdfake.New(t, etcdfake.WithMembers(2))
	cut, other := c.Client(to(c.Member(0))), c.Client(to(c.Member(1)))
	w := openWatch(t, cut, "k")
	assert.Equal(t, 1, c.Member(0).Cut())
	mustPut(t, other, "k", "1")
	assert.Equal(t, int64(2), nextEvents(t, w).Events[0].Kv.ModRevision)
}

// A mute member does not handle requests. A put that arrives at the mute member takes effect after
// Unmute.
func TestMute(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		mustPut(t, client, "k", "0")
		c.Member(0).Mute()
		done := make(chan error, 1)
		go func() {
			_, err := client.Put(within(t, time.Minute), "k", "1")
			done <- err
		}()
		time.Sleep(time.Second)
		assert.Equal(t, "0", c.Dump("")["k"])
		c.Member(0).Unmute()
		require.NoError(t, <-done)
		assert.Equal(t, "1", c.Dump("")["k"])
	})
}

func TestDefragment(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		mustPut(t, client, "k", "1")
		c.Member(0).Defragment(5 * time.Second)
		start := time.Now()
		mustPut(t, client, "k", "2")
		assert.Equal(t, 5*time.Second, time.Since(start))
	})
}

// While there is no leader, serializable reads succeed, other requests wait for a leader, and
// leases do not expire.
func TestLoseLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		lease, err := client.Grant(t.Context(), 5)
		require.NoError(t, err)
		mustPut(t, client, "k", "1", clientv3.WithLease(lease.ID))
		restore := c.LoseLeader()
		_, err = client.Get(t.Context(), "k", clientv3.WithSerializable())
		require.NoError(t, err)
		_, err = client.Put(clientv3.WithRequireLeader(t.Context()), "k", "2")
		require.Equal(t, rpctypes.ErrNoLeader, err)
		start := time.Now()
		_, err = client.Put(t.Context(), "k", "2")
		require.Equal(t, rpctypes.ErrTimeout, err)
		assert.Equal(t, 7*time.Second, time.Since(start))
		time.Sleep(time.Minute)
		assert.Len(t, c.Leases(), 1)
		time.AfterFunc(2*time.Second, restore)
		start = time.Now()
		mustPut(t, client, "other", "2")
		assert.Equal(t, 2*time.Second, time.Since(start))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		assert.Equal(t, map[string]string{"other": "2"}, c.Dump(""))
		restore() // a second call has no effect
	})
}

func TestLearnerIsPromoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := etcdfake.New(t, etcdfake.WithMembers(2), etcdfake.WithLearner())
		voter, learner := c.Client(to(c.Member(0))), c.Client(to(c.Member(1)))
		_, err := learner.Get(t.Context(), "k", clientv3.WithSerializable())
		require.NoError(t, err)
		_, err = learner.Get(within(t, time.Second), "k")
		require.Error(t, err)
		_, err = voter.MemberPromote(t.Context(), c.Member(1).ID())
		require.NoError(t, err)
		mustPut(t, learner, "k", "1")
	})
}

// After Listen, a client reaches the member on a TCP port. The member keeps the port when it is
// stopped and started again.
func TestListen(t *testing.T) {
	c := etcdfake.New(t)
	addr := c.Listen()
	assert.Equal(t, addr, c.Listen())
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	mustPut(t, client, "k", "1")
	require.NoError(t, client.Sync(t.Context()))
	assert.Equal(t, []string{"http://" + addr}, client.Endpoints())
	c.Member(0).Stop()
	c.Member(0).Start()
	_, err = client.Get(within(t, 10*time.Second), "k")
	require.NoError(t, err)
}

// The election timeout decides how short a lease may be, and how long a call waits for a leader.
func TestElectionTimeout(t *testing.T) {
	for election, want := range map[time.Duration]struct {
		ttl  int64
		late time.Duration
	}{
		100 * time.Millisecond: {1, 5200 * time.Millisecond},
		time.Second:            {2, 7 * time.Second},
		5 * time.Second:        {8, 15 * time.Second},
	} {
		inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
			lease, err := client.Grant(t.Context(), 1)
			require.NoError(t, err)
			assert.Equal(t, want.ttl, lease.TTL)
			c.LoseLeader()
			start := time.Now()
			_, err = client.Put(t.Context(), "k", "1")
			require.Equal(t, rpctypes.ErrTimeout, err)
			assert.Equal(t, want.late, time.Since(start))
		}, etcdfake.WithElectionTimeout(election))
	}
}
