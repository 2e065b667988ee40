package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// inBubble runs a test in virtual time with a cluster, a client of it, and a synced cache of the
// keys that begin with "a/".
func inBubble(
	t *testing.T, f func(*testing.T, *etcdfake.Cluster, *Cache), opts ...etcdfake.Option,
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t, opts...)
		f(t, cluster, synced(t, cluster.Client(), "a/"))
	})
}

// synced returns a cache that has read its range, and is closed with the test.
func synced(t *testing.T, client *clientv3.Client, prefix string, opts ...Option) *Cache {
	t.Helper()
	c, err := New(client, prefix, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.WaitSynced(t.Context()))
	return c
}

func mustPut(t *testing.T, client clientv3.KV, key, value string) int64 {
	t.Helper()
	resp, err := client.Put(t.Context(), key, value)
	require.NoError(t, err)
	return resp.Header.Revision
}

// TestFreshContainsAcknowledgedWrites shows that a fresh read contains every write that another
// client has made before. Every second write is outside of the range, so the cache gets no event of
// it.
func TestFreshContainsAcknowledgedWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		other := cluster.Client()
		for n := range 100 {
			key := []string{"a/k", "b/k"}[n%2]
			rev := mustPut(t, other, key, fmt.Sprint(n))
			s, err := c.Fresh(t.Context(), 0)
			require.NoError(t, err)
			require.GreaterOrEqual(t, s.Revision(), rev)
			require.Equal(t, cluster.Dump("a/"), contents(s))
		}
		require.Equal(t, int64(100), c.Status().Questions)
	})
}

// TestReadersShareQuestions shows that readers of two caches of one client share questions, which
// are the reads that ask the server for its newest revision. A reader comes each millisecond.
func TestReadersShareQuestions(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, a *Cache) {
		b := synced(t, a.client, "b/")
		cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Delay(time.Second)
		})
		before := cluster.Calls("Range")
		start := time.Now()
		var readers sync.WaitGroup
		for n := range 1000 {
			c := []*Cache{a, b}[n%2]
			readers.Go(func() {
				time.Sleep(time.Duration(n) * time.Millisecond)
				begun := time.Now()
				s, err := c.Fresh(t.Context(), 0)
				require.NoError(t, err)
				require.False(t, s.ProvenAt().Before(begun))
				require.Less(t, time.Since(begun), 2*time.Second+100*time.Millisecond)
			})
		}
		readers.Wait()
		require.Less(t, time.Since(start), 2*time.Second+100*time.Millisecond)
		require.Equal(t, 2, cluster.Calls("Range")-before)
		require.Equal(t, int64(500), a.Status().Shared)
	})
}

// TestReadersOfAgeDoNotWait calls Fresh often, and accepts a snapshot that is up to a second old.
// No call waits, because the cache asks the server every half second how fresh its copy is. It asks
// only while there are readers.
func TestReadersOfAgeDoNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		_, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Delay(100 * time.Millisecond)
		})
		const age = time.Second
		before := c.Status().Questions
		for range 1000 {
			begun := time.Now()
			s, err := c.Fresh(t.Context(), age)
			require.NoError(t, err)
			require.Zero(t, time.Since(begun))
			require.LessOrEqual(t, begun.Sub(s.ProvenAt()), age)
			time.Sleep(10 * time.Millisecond)
		}
		asked := c.Status().Questions - before
		require.InDelta(t, 20, asked, 2)
		time.Sleep(time.Hour)
		require.InDelta(t, asked, c.Status().Questions-before, 1)
		s, err := c.Fresh(t.Context(), age)
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(s.ProvenAt()), age)
	})
}

// TestFailedQuestionsAreAskedAgain refuses some linearizable reads of the cache. A fresh read waits
// until one succeeds.
func TestFailedQuestionsAreAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		refusals := 3
		cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			if refusals--; refusals >= 0 {
				return etcdfake.Refuse(status.Error(codes.Internal, "not yet"))
			}
			return etcdfake.Pass()
		})
		_, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, int64(4), c.Status().Questions)
	})
}

// TestFreshEndsWithItsContext shows that Fresh ends with its context. Its error says that it has
// waited for a linearizable read, and why the read has failed.
func TestFreshEndsWithItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		refused := errors.New("out of order")
		cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Refuse(status.Error(codes.Internal, refused.Error()))
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Fresh(ctx, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "linearizable read")
		require.ErrorContains(t, err, refused.Error())
		require.Less(t, c.Status().Questions, int64(12), "the waits grow")
	})
}

// TestReadersEndWithTheCache closes one of two caches while readers of both wait: its readers
// return ErrClosed, and the readers of the other cache are answered.
func TestReadersEndWithTheCache(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, a *Cache) {
		b := synced(t, a.client, "b/")
		cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Delay(time.Second)
		})
		var readers sync.WaitGroup
		for range 10 {
			readers.Go(func() {
				_, err := a.Fresh(t.Context(), 0)
				require.ErrorIs(t, err, ErrClosed)
			})
			readers.Go(func() {
				_, err := b.Fresh(t.Context(), 0)
				require.NoError(t, err)
			})
		}
		synctest.Wait()
		require.NoError(t, a.Close())
		require.NoError(t, a.Close())
		readers.Wait()
		_, err := a.Fresh(t.Context(), 0)
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, b.Close())
		require.Empty(t, askers.byClient)
	})
}

func TestCacheEndsIfItsQuestionIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		other := synced(t, c.client, "b/")
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			return etcdfake.Refuse(status.Error(codes.PermissionDenied, "no more"))
		})
		_, err := c.Fresh(t.Context(), 0)
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		require.Equal(t, codes.PermissionDenied, status.Code(c.Status().Err))
		require.NoError(t, other.Status().Err)
	})
}
