package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// mute has the members overlook all requests for progress, as etcd's gRPC proxy does. It returns a
// function that counts them.
func mute(cluster *etcdfake.Cluster) (requests func() int) {
	n := make(chan int, 1)
	n <- 0
	cluster.On("Watch", func(call *etcdfake.Call) etcdfake.Action {
		if call.Request.(*pb.WatchRequest).GetProgressRequest() == nil {
			return etcdfake.Pass()
		}
		n <- <-n + 1
		return etcdfake.Answer(&pb.WatchResponse{WatchId: 1 << 40}) // no watch has this id
	})
	return func() int {
		now := <-n
		n <- now
		return now
	}
}

// readFresh writes by another client, in the range and outside of it, and reads each time.
func readFresh(t *testing.T, cluster *etcdfake.Cluster, c *Cache, rounds int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(11, 12))
	other := cluster.Client()
	for n := range rounds {
		key := fmt.Sprintf("%c/%02d", "ab"[rnd.IntN(2)], rnd.IntN(10))
		op := clientv3.OpPut(key, fmt.Sprint(n))
		if rnd.IntN(3) == 0 {
			op = clientv3.OpDelete(key)
		}
		resp, err := other.Do(t.Context(), op)
		require.NoError(t, err)
		s, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, cluster.Dump("a/"), contents(s))
		require.GreaterOrEqual(t, s.Revision(), writeRevision(resp))
	}
}

// TestFreshWithoutNoticesOfProgress reads through a server that ignores requests for progress. The
// cache sends only a few such requests, and finds out later that the server answers them again.
func TestFreshWithoutNoticesOfProgress(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		requests := mute(cluster)
		start := time.Now()
		readFresh(t, cluster, c, 300)
		require.Less(t, time.Since(start), time.Second, "only the first read waits for an answer")
		require.Less(t, requests(), 10)
		time.Sleep(time.Hour)
		readFresh(t, cluster, c, 1)
		cluster.On("Watch", nil)
		time.Sleep(time.Hour)
		readFresh(t, cluster, c, 1)
		synctest.Wait() // until the cache knows the version, and so trusts the notices
		before := cluster.Calls("Range")
		readFresh(t, cluster, c, 100)
		require.LessOrEqual(t, cluster.Calls("Range")-before, 101, "progress shows it again")
	})
}

// TestRevisionsToComeAreNotProvenWithoutABreak waits for a revision that does not exist. The server
// ignores requests for progress, so the cache reads from the server what has changed. It waits
// between these reads.
func TestRevisionsToComeAreNotProvenWithoutABreak(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mute(cluster)
		cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Delay(time.Millisecond)
		})
		before := cluster.Calls("Range")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := c.AtLeast(ctx, 1000)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, cluster.Calls("Range")-before, 150)
	})
}

// TestNoticesOfOldServersAreNotTrusted shows that a cache does not use notices of progress from a
// server that may send them before earlier events. The cache reads from the server what has
// changed.
func TestNoticesOfOldServersAreNotTrusted(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		before := cluster.Calls("Range")
		readFresh(t, cluster, c, 200)
		require.Greater(t, cluster.Calls("Range")-before, 250, "questions and proofs")
	}, etcdfake.WithVersion("3.5.7"))
}

func TestVersionsThatOrderProgress(t *testing.T) {
	for version, orders := range map[string]bool{
		"3.7.3": true, "3.6.0": true, "3.6.0-alpha.0": true, "3.5.8": true, "3.5.21": true,
		"3.4.25": true, "4.0.0": true,
		"3.5.7": false, "3.5.0": false, "3.4.24": false, "3.3.27": false, "2.3.8": false,
		"": false, "v3": false, "x.y.z": false,
	} {
		require.Equal(t, orders, ordersProgress(version), "%q", version)
	}
}

// TestProofsHoldUnderWrites reads a number that another client increases, from a server that
// ignores requests for progress. No read returns a lower number than the last one that was
// acknowledged.
func TestProofsHoldUnderWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mute(cluster)
		cluster.Member(0).Lag(3 * time.Millisecond)
		other := cluster.Client()
		acked := 0
		for n := range 300 {
			mustPut(t, other, "a/n", fmt.Sprint(n))
			if n%7 == 0 {
				mustPut(t, other, fmt.Sprintf("a/%d", n%5), "x")
				_, err := other.Delete(t.Context(), fmt.Sprintf("a/%d", (n+2)%5))
				require.NoError(t, err)
			}
			mustPut(t, other, "b", "outside")
			acked = n
			s, err := c.Fresh(t.Context(), 0)
			require.NoError(t, err)
			kv, _ := s.Get("a/n")
			shown, err := strconv.Atoi(string(kv.GetValue()))
			require.NoError(t, err)
			require.GreaterOrEqual(t, shown, acked)
			require.Equal(t, cluster.Dump("a/"), contents(s))
		}
	})
}

// TestAnswersWithoutHeadersAreErrors has a server send answers without a header. The cache treats
// such a read as failed, and goes on when the answers have headers again.
func TestAnswersWithoutHeadersAreErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Answer(&pb.RangeResponse{})
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Fresh(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Error(t, c.auditOnce())
		c.startOver("of the test")
		time.Sleep(time.Minute)
		require.Zero(t, c.now().era)
		cluster.On("Range", nil)
		_, err = c.await(t.Context(), func(v *view) bool { return v.lists == 2 })
		require.NoError(t, err)
		_, err = c.Fresh(t.Context(), 0)
		require.NoError(t, err)
	})
}
