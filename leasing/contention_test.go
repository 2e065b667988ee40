package leasing

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestRangesAreWrittenBesideConstantReaders: however many of its keys are owned and read
// again and again, by the writer's own KV or by another one, a range is deleted in
// little time.
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
			owned, err := plain.Get(ctx, pfx, clientv3.WithPrefix(), clientv3.WithCountOnly())
			require.NoError(t, err)
			require.EqualValues(t, keys, owned.Count)

			start := time.Now()
			_, err = writer.Delete(testContext(t), "r/", clientv3.WithPrefix())
			require.NoError(t, err)
			require.Less(t, time.Since(start), eventually)
			require.Empty(t, writer.table.bars)
		})
	}
}

// TestKeysChangeHandsPromptly: a server looks ten times a second at watches that start
// with the past, which must not be what a writer waits for.
func TestKeysChangeHandsPromptly(t *testing.T) {
	const changes = 40
	plain := plainClient(t)
	kvs := []*leasing{newKV(t, newClient(t, shared.Endpoints()...)), newKV(t, newClient(t, shared.Endpoints()...))}
	var took time.Duration
	for i := range changes + 1 {
		owns(t, kvs[0], fmt.Sprint("k", i))
	}
	put(t, kvs[1], fmt.Sprint("k", changes), "v") // by now the owner's own watches have caught up
	for i := range changes {
		key := fmt.Sprint("k", i)
		put(t, plain, "another key", "is written all the time")
		start := time.Now()
		put(t, kvs[1], key, "v")
		took += time.Since(start)
	}
	require.Less(t, took/changes, 50*time.Millisecond, "half of what a server's round takes")
}
