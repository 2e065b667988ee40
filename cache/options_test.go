package cache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// TestBadOptionsAreNamed shows that New refuses an invalid range or option, and names its value in
// the error.
func TestBadOptionsAreNamed(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, _ *Cache) {
		client := cluster.Client()
		for _, tc := range []struct {
			prefix string
			opt    Option
			want   string
		}{
			{"a/", WithRange("b", "c"), `prefix "a/" is given together with WithRange("b", "c")`},
			{"", WithRange("c", "b"), `WithRange("c", "b") is not a range`},
			{"", WithRange("", "b"), `WithRange("", "b") is not a range`},
			{"", WithRange("a", ""), `WithRange("a", "") is not a range`},
			{"a/", WithPageSize(0), "WithPageSize(0) is below 1"},
			{"a/", WithHistory(-1), "WithHistory(-1) is negative"},
			{"a/", WithMaxBytes(0), "WithMaxBytes(0) is below 1"},
			{"a/", WithAudit(-time.Second), "WithAudit(-1s) is negative"},
		} {
			_, err := New(client, tc.prefix, tc.opt)
			require.ErrorContains(t, err, tc.want)
		}
		_, err := New(nil, "a/")
		require.ErrorContains(t, err, "client is nil")
	})
}

// TestRanges shows which keys a cache has for a prefix, for all keys, and for a range.
func TestRanges(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, _ *Cache) {
		client := cluster.Client()
		for _, key := range []string{"a", "a/1", "a/2", "b", "\xff\xff1"} {
			mustPut(t, client, key, "x")
		}
		for _, tc := range []struct {
			prefix string
			opts   []Option
			want   []string
		}{
			{"a/", nil, []string{"a/1", "a/2"}},
			{"", nil, []string{"a", "a/1", "a/2", "b", "\xff\xff1"}},
			{"\xff\xff", nil, []string{"\xff\xff1"}},
			{"", []Option{WithRange("a/2", "b")}, []string{"a/2"}},
			{"", []Option{WithRange("a/2", "\x00")}, []string{"a/2", "b", "\xff\xff1"}},
		} {
			var got []string
			for kv := range synced(t, client, tc.prefix, tc.opts...).Snapshot().All() {
				got = append(got, string(kv.Key))
			}
			require.Equal(t, tc.want, got, "%q", tc.prefix)
		}
	})
}

// TestKeysOnly shows that a cache of keys has no values, neither of the list nor of the watch.
func TestKeysOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, _ *Cache) {
		client := cluster.Client()
		mustPut(t, client, "a/1", "value")
		c := synced(t, client, "a/", WithKeysOnly())
		s, err := c.AtLeast(t.Context(), mustPut(t, client, "a/2", "value"))
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a/1": "", "a/2": ""}, contents(s))
		require.EqualValues(t, 6, c.Status().Bytes)
	})
}

// TestKeysOnlyHaveNoLease shows that a cache without values has no lease ids either, whether the
// pairs come from a list or from events. So if the cache lists its range again, it finds no
// changes, whether or not the server leaves the lease ids out.
func TestKeysOnlyHaveNoLease(t *testing.T) {
	for name, lists := range map[string]int64{"servers that leave them out": 0, "others": 1} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, _ *Cache) {
				client := cluster.Client()
				lease, err := client.Grant(t.Context(), 36000)
				require.NoError(t, err)
				first := clientv3.OpPut("a/1", "value", clientv3.WithLease(lease.ID))
				_, err = client.Do(t.Context(), first)
				require.NoError(t, err)
				reader := cluster.Client()
				reader.KV = leasedKV{reader.KV, lists * int64(lease.ID)}
				c := synced(t, reader, "a/", WithKeysOnly())
				_, err = client.Put(t.Context(), "a/2", "value", clientv3.WithLease(lease.ID))
				require.NoError(t, err)
				_, err = c.Fresh(t.Context(), 0)
				require.NoError(t, err)
				for kv := range c.Snapshot().All() {
					require.Zero(t, kv.Lease, "%s", kv.Key)
				}
				before := c.now().last
				c.startOver("of the test")
				time.Sleep(time.Second)
				require.EqualValues(t, 2, c.Status().Lists)
				changes, ok := replay(before, c.now().last)
				require.True(t, ok)
				require.Empty(t, changes)
			})
		})
	}
}

// leasedKV adds a number to the lease id of every pair that it reads.
type leasedKV struct {
	clientv3.KV
	lease int64
}

func (l leasedKV) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	resp, err := l.KV.Get(ctx, key, opts...)
	for _, kv := range (*pb.RangeResponse)(resp).GetKvs() {
		kv.Lease += l.lease
	}
	return resp, err
}

// TestErrorsOfWaits shows two errors of a call that waits. If its context ends, the error wraps the
// context's error and says what the call waited for. If the cache is closed, the error is
// ErrClosed.
func TestErrorsOfWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		cluster.Member(0).Mute()
		c, err := New(client, "a/")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = c.WaitSynced(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `prefix "a/" at revision 0 waits for a watch to be opened`)
		require.Contains(t, c.Status().Waiting, "a watch to be opened")
		errs := make(chan error)
		go func() { errs <- c.WaitSynced(t.Context()) }()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-errs, ErrClosed)
		for _, err := range c.Changes(t.Context()) {
			require.ErrorIs(t, err, ErrClosed)
		}
		require.NoError(t, c.Close())
		require.Zero(t, Snapshot{}.Len())
	})
}

// TestClosedClientEndsTheCache shows that a cache whose client is closed ends by itself.
func TestClosedClientEndsTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := etcdfake.New(t).Client()
		c := synced(t, client, "a/")
		require.NoError(t, client.Close())
		_, err := c.AtLeast(t.Context(), 1000)
		require.ErrorIs(t, err, ErrClosed)
	})
}
