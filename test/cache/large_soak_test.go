package cache_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// keyOf returns the key with the number i. All keys have the same length.
func keyOf(i int) string { return fmt.Sprintf("large/%010d", i) }

// fillServer puts n keys with values of 256 bytes, in transactions of 128 puts.
func fillServer(t *testing.T, client *clientv3.Client, n int) {
	value := strings.Repeat("x", 256)
	const perTxn = 128
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := w * perTxn; i < n; i += 4 * perTxn {
				var ops []clientv3.Op
				for k := i; k < min(n, i+perTxn); k++ {
					ops = append(ops, clientv3.OpPut(keyOf(k), value))
				}
				_, err := client.Txn(t.Context()).Then(ops...).Commit()
				require.NoError(t, err)
			}
		})
	}
	writers.Wait()
}

const liveBytes = "/gc/heap/live:bytes"

// live returns the bytes of the heap that are in use. It collects garbage twice, because only the
// second collection frees what a sync.Pool holds.
func live() uint64 {
	runtime.GC()
	runtime.GC()
	sample := []metrics.Sample{{Name: liveBytes}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// peak starts a goroutine that measures the live heap again and again. The function stop ends the
// goroutine and returns the largest size.
func peak() (stop func() uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	sample := []metrics.Sample{{Name: liveBytes}}
	var most uint64
	var sampler sync.WaitGroup
	sampler.Go(func() {
		for ctx.Err() == nil {
			runtime.GC()
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			time.Sleep(50 * time.Millisecond)
		}
	})
	return func() uint64 {
		cancel()
		sampler.Wait()
		return most
	}
}

// TestSoakLargeRange: a cache lists a million keys (or CACHE_KEYS) while other keys are written and
// the store is compacted once a second. The cache lists only once. While it lists, the heap grows
// by at most 1.3 times what the complete cache occupies. A later write is in the cache within a
// second.
func TestSoakLargeRange(t *testing.T) {
	testclient.Soak(t)
	keys := 1_000_000
	if text := os.Getenv("CACHE_KEYS"); text != "" {
		var err error
		keys, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	cluster := etcdtest.Start(t, etcdtest.WithArgs("--quota-backend-bytes=8589934592"))
	client := testclient.Open(t, cluster)
	fillServer(t, client, keys)
	stop := compactAgainAndAgain(t, client)

	before, largest, began := live(), peak(), time.Now()
	c, err := cache.New(client, "large/", cache.WithHistory(0))
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	require.NoError(t, c.WaitSynced(ctx))
	listed := time.Since(began)
	most := largest() - before
	wrote := time.Now()
	resp, err := client.Put(ctx, keyOf(keys/2), "later")
	require.NoError(t, err)
	_, err = c.AtLeast(ctx, resp.Header.Revision)
	require.NoError(t, err)
	shown := time.Since(wrote)
	stop()
	final := live() - before
	s := c.Status()
	data := s.Bytes
	t.Logf("%d keys: %d lists in %v; live heap %d MB, at most %d MB (%.2f times); "+
		"%.0f bytes a key over %.0f of data; a later write was shown after %v", s.Keys, s.Lists,
		listed, final>>20, most>>20, float64(most)/float64(final),
		float64(int64(final)-data)/float64(s.Keys), float64(data)/float64(s.Keys), shown)
	require.Equal(t, keys, s.Keys)
	require.EqualValues(t, 1, s.Lists)
	require.LessOrEqual(t, float64(most), 1.3*float64(final))
	require.LessOrEqual(t, float64(int64(final)-data)/float64(s.Keys), 170.0)
	require.Less(t, shown, time.Second)
}

// compactAgainAndAgain writes a key outside of the range and compacts the store once a second.
func compactAgainAndAgain(t *testing.T, client *clientv3.Client) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var compactor sync.WaitGroup
	compactor.Go(func() {
		for ctx.Err() == nil {
			if resp, err := client.Put(ctx, "other", "x"); err == nil {
				_, _ = client.Compact(ctx, resp.Header.Revision)
			}
			time.Sleep(time.Second)
		}
	})
	return func() {
		cancel()
		compactor.Wait()
	}
}
