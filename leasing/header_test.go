package leasing

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// These tests are about the revision in the header of an answer. At that revision, the key had the
// value in the answer. So a program that reads a key and watches it from the next revision misses
// no write.

// TestHeaderOfMemoryIsNotAheadOfIt: an answer from the cache never has the revision of a write that
// its value does not show. Otherwise a watch from the next revision would miss that write.
func TestHeaderOfMemoryIsNotAheadOfIt(t *testing.T) {
	c := newEpoch(t)
	var rev atomic.Int64
	rev.Store(1)
	current := ownIn(t, c, "k", "1", 1)
	done := make(chan struct{})
	var readers sync.WaitGroup
	var wrong atomic.Int64
	for range 2 * runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, _ := c.get("k", nil)
				if resp != nil && string(resp.Kvs[0].Value) != strconv.FormatInt(
					resp.Header.Revision, 10) {
					wrong.Add(1)
				}
			}
		})
	}
	for range 60000 {
		// This simulates a write by another client: the cache releases the key, sees the revision
		// of the write, and caches the key again with the new value.
		c.startRelease(current)
		c.end(current)
		c.running.Done()
		now := rev.Add(1)
		c.latest.saw(&pb.ResponseHeader{Revision: now})
		c.mu.Lock()
		clear(c.cooldowns.ends)
		c.mu.Unlock()
		current = ownIn(t, c, "k", strconv.FormatInt(now, 10), now)
	}
	close(done)
	readers.Wait()
	require.Zero(t, wrong.Load(), "answers with the revision of a write that they do not show")
}

// TestHeaderOfAnAcquisitionIsItsOwn: the first get of a key acquires it for the cache, and reads
// its value. The header of this get has the revision of that read, even if the client has seen a
// later revision by then, at which the value may differ.
func TestHeaderOfAnAcquisitionIsItsOwn(t *testing.T) {
	fake := etcdfake.Start(t)
	kv := newKV(t, newClient(t, fake.Addr()))
	var acquired int64
	fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		resp, err := fake.Apply(ctx, "Txn", req)
		if err != nil {
			return nil, err
		}
		acquired = resp.(*pb.TxnResponse).Header.Revision
		kv.cache.latest.saw(&pb.ResponseHeader{Revision: acquired + 5})
		return resp, nil
	})
	resp, err := kv.Do(testContext(t), clientv3.OpGet("k"))
	require.NoError(t, err)
	require.Equal(t, acquired, resp.Get().Header.Revision)
}
