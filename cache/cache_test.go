package cache

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// TestCacheFollows shows that a copy is empty at first, has the range after a list of several
// pages, and then follows each write.
func TestCacheFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		for i := range 25 {
			_, err := client.Put(t.Context(), fmt.Sprintf("a/%02d", i), "x")
			require.NoError(t, err)
		}
		c, err := New(client, "a/", WithPageSize(10))
		require.NoError(t, err)
		defer c.Close()
		require.Zero(t, c.Snapshot().Revision())
		require.NoError(t, c.WaitSynced(t.Context()))
		require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
		put, err := client.Put(t.Context(), "a/new", "y")
		require.NoError(t, err)
		_, err = client.Delete(t.Context(), "a/03")
		require.NoError(t, err)
		other, err := client.Put(t.Context(), "b", "y")
		require.NoError(t, err)
		s, err := c.AtLeast(t.Context(), other.Header.Revision)
		require.NoError(t, err)
		require.Equal(t, cluster.Dump("a/"), contents(s))
		kv, ok := s.Get("a/new")
		require.True(t, ok)
		require.Equal(t, put.Header.Revision, kv.ModRevision)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = c.AtLeast(ctx, 1000)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		t.Log(err, c.Status())
	})
}
