package testclient

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// PutUntil puts keys from many goroutines until the given function returns. Each goroutine puts its
// own key ("key0", "key1" and so on) again and again. After the first put of every goroutine,
// PutUntil calls the function. It returns the number of puts. If a put fails, the test fails.
func PutUntil(t *testing.T, kv clientv3.KV, goroutines int, during func()) int64 {
	t.Helper()
	var puts, failed atomic.Int64
	put := func(key string) {
		if _, err := kv.Put(t.Context(), key, "v"); err != nil && failed.Add(1) < 10 {
			t.Errorf("put %d: %v", puts.Load(), err)
		}
		puts.Add(1)
	}
	var began, ended sync.WaitGroup
	var stop atomic.Bool
	began.Add(goroutines)
	for i := range goroutines {
		// The goroutine ends after stop is set. PutUntil waits for the goroutine.
		ended.Go(func() {
			key := fmt.Sprint("key", i)
			put(key)
			began.Done()
			for !stop.Load() {
				put(key)
			}
		})
	}
	began.Wait()
	during()
	stop.Store(true)
	ended.Wait()
	assert.Zero(t, failed.Load(), "failed puts")
	return puts.Load()
}
