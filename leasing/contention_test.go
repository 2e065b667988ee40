package leasing

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestRangesAreWrittenBesideConstantReaders: a client can delete a range of keys soon although
// readers cache these keys again and again. The delete asks the owners of all keys at once to
// release them. If it asked for a few keys at a time, readers could cache the first keys again
// meanwhile.
func TestRangesAreWrittenBesideConstantReaders(t *testing.T) {
	const keys, readers = 300, 10
	for name, own := range map[string]bool{"of the same KV": true, "of another KV": false} {
		t.Run(name, func(t *testing.T) {
			plain := plainClient(t)
			writer := newKV(t, newClient(t, shared.Endpoints()...))
			reader := writer
			if !own {
				reader = newKV(t, newClient(t, shared.Endpoints()...))
			}
			ctx, cancel := context.WithCancel(t.Context())
			var reading, first sync.WaitGroup
			defer func() { cancel(); reading.Wait() }()
			first.Add(readers)
			for g := range readers {
				reading.Go(func() {
					for i := g; ctx.Err() == nil; i += readers {
						_, err := reader.Get(ctx, fmt.Sprintf("r/%03d", i%keys))
						require.True(t, err == nil || ctx.Err() != nil, "%v", err)
						if i == g+keys-readers {
							first.Done()
						}
					}
				})
			}
			first.Wait()
			require.Eventually(t, func() bool {
				owned, err := plain.Get(ctx, pfx, clientv3.WithPrefix(), clientv3.WithCountOnly())
				require.NoError(t, err)
				return owned.Count == keys
			}, eventually, tick)

			took := testclient.Stopwatch(t)
			_, err := writer.Delete(testContext(t), "r/", clientv3.WithPrefix())
			require.NoError(t, err)
			require.Less(t, took(), eventually)
			require.Empty(t, writer.cache.blocked)
		})
	}
}

// TestKeysChangeHandsPromptly: a writer first watches the owner's lease key, and then asks the
// owner to delete it. If the writer asked first, the watch would begin at a past revision. The
// server sends events to such watches only ten times a second, so the event would come late.
func TestKeysChangeHandsPromptly(t *testing.T) {
	const changes = 40
	plain := plainClient(t)
	kvs := []*leasingKV{newKV(t, newClient(t, shared.Endpoints()...)),
		newKV(t, newClient(t, shared.Endpoints()...))}
	var took time.Duration
	for i := range changes + 1 {
		owns(t, kvs[0], fmt.Sprint("k", i))
	}
	put(t, kvs[1], fmt.Sprint("k", changes), "v") // by now the owner's own watches have caught up
	for i := range changes {
		key := fmt.Sprint("k", i)
		put(t, plain, "another key", "is written all the time")
		changing := testclient.Stopwatch(t)
		put(t, kvs[1], key, "v")
		took += changing()
	}
	require.Less(t, took/changes, 50*time.Millisecond, "half of what a server's round takes")
}

// TestStopDuringCalls: calls that run while the KV is stopped succeed. Calls that run while the
// client is closed return. TestMain looks for goroutines that are left.
func TestStopDuringCalls(t *testing.T) {
	plain := plainClient(t)
	other := newKV(t, newClient(t, shared.Endpoints()...))
	put(t, plain, pfx+"never released", "")
	cli, err := clientv3.New(clientv3.Config{Endpoints: shared.Endpoints(), Logger: zap.NewNop()})
	require.NoError(t, err)
	kv, stop, err := NewKV(cli, pfx)
	require.NoError(t, err)
	var calls sync.WaitGroup
	var closed atomic.Bool
	work := func(who clientv3.KV, op func(i int) clientv3.Op) {
		calls.Go(func() {
			for i := 0; !closed.Load(); i++ {
				_, err := who.Do(t.Context(), op(i%7))
				require.True(t, err == nil || closed.Load(), "%v", err)
			}
		})
	}
	key := func(i int) string { return fmt.Sprint("s/", i) }
	for _, who := range []clientv3.KV{kv, kv, other} {
		work(who, func(i int) clientv3.Op { return clientv3.OpGet(key(i)) })
		work(who, func(i int) clientv3.Op { return clientv3.OpPut(key(i), "v") })
		work(who, func(i int) clientv3.Op {
			return clientv3.OpDelete(key(i), clientv3.WithRange(key(i+2)))
		})
		work(who, func(i int) clientv3.Op {
			return clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(key(i), "v"),
				clientv3.OpDelete(key(i + 1))}, nil)
		})
	}
	calls.Go(func() {
		_, err := kv.Put(t.Context(), "never released", "v")
		require.True(t, clientv3.IsConnCanceled(err), "%v", err)
	})
	require.Eventually(t, func() bool {
		return leaseKeyOf(t, plain, "never released").Version > 1
	}, eventually, tick)
	for i := range 7 {
		require.Eventually(t, func() bool {
			return kv.(*leasingKV).isCached(key(i)) || leaseKeyOf(t, plain, key(i)) != nil
		}, eventually, tick)
	}
	stop()
	put(t, kv, "s/after", "v")
	closed.Store(true)
	require.NoError(t, cli.Close())
	calls.Wait()
}
