package snapshot_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/snapshot"
)

const mib = 1 << 20

// etcdutl runs the tool on a snapshot and returns what it prints.
func etcdutl(t *testing.T, args ...string) []byte {
	t.Helper()
	tool, err := filepath.Abs(filepath.Join("..", "bin", "etcdutl"))
	require.NoError(t, err)
	if _, err := os.Stat(tool); err != nil {
		t.Fatalf("no etcdutl at %s: run `make etcdutl` at the module's root to build it", tool)
	}
	cmd := exec.CommandContext(t.Context(), tool, args...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	require.NoError(t, err, "etcdutl %v: %s", args, &log)
	return out
}

// fill puts n values of 1 MiB that do not compress.
func fill(t *testing.T, client *clientv3.Client, n int) {
	t.Helper()
	value := make([]byte, mib)
	_, err := rand.Read(value)
	require.NoError(t, err)
	for i := range n {
		_, err := client.Put(t.Context(), fmt.Sprintf("key%03d", i), string(value))
		require.NoError(t, err)
	}
}

// peakHeap calls f and returns the largest size of the heap meanwhile, in bytes. The size includes
// dead objects that are not yet collected.
func peakHeap(f func()) uint64 {
	for range 3 { // a sync.Pool keeps objects for up to two collections
		debug.FreeOSMemory()
	}
	stop := make(chan struct{})
	var peak uint64
	var sampling sync.WaitGroup
	sampling.Go(func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			peak = max(peak, sample[0].Value.Uint64())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	f()
	close(stop)
	sampling.Wait()
	return peak
}

// Save writes a store of 200 MiB to a file with a heap of less than 8 MiB, and etcdutl can restore
// the file.
func TestSaveLargeStoreAndRestore(t *testing.T) {
	cluster := etcdtest.Start(t)
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints()})
	require.NoError(t, err)
	start := time.Now()
	fill(t, client, 200)
	t.Logf("filled in %v", time.Since(start))
	hash, err := client.HashKV(t.Context(), cluster.Endpoints()[0], 0)
	require.NoError(t, err)
	defer client.Close()

	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	start = time.Now()
	peak := peakHeap(func() {
		require.NoError(t, snapshot.Save(t.Context(), nil,
			clientv3.Config{Endpoints: cluster.Endpoints()}, path))
	})
	info, err := os.Stat(path)
	require.NoError(t, err)
	t.Logf("saved %d MiB in %v with a heap of at most %.1f MiB", info.Size()/mib, time.Since(start),
		float64(peak)/mib)
	assert.Greater(t, info.Size(), int64(200*mib))
	assert.EqualValues(t, sha256.Size, info.Size()%512)
	assert.Less(t, peak, uint64(8*mib))
	if runtime.GOOS != "windows" {
		assert.Equal(t, os.FileMode(0o600), info.Mode())
	}

	restored := filepath.Join(dir, "restored")
	etcdutl(t, "snapshot", "restore", path, "--data-dir", restored)
	for _, db := range []string{path, filepath.Join(restored, "member", "snap", "db")} {
		assert.Equal(t, hashKV{hash.Hash, hash.HashRevision, hash.CompactRevision}, hashOf(t, db),
			db)
	}
	require.Eventually(t, func() bool {
		// A new member needs some seconds until it knows the version of the cluster.
		resp, err := client.SnapshotWithVersion(t.Context())
		require.NoError(t, err)
		require.NoError(t, resp.Snapshot.Close())
		return resp.Version == "3.7.0"
	}, time.Minute, 50*time.Millisecond)
}

// hashKV is the hash over the history of a store.
type hashKV struct {
	Hash            uint32 `json:"hash"`
	HashRevision    int64  `json:"hashRevision"`
	CompactRevision int64  `json:"compactRevision"`
}

// hashOf returns the hash that etcdutl computes for a database file.
func hashOf(t *testing.T, db string) (h hashKV) {
	t.Helper()
	out := etcdutl(t, "hashkv", db, "-w", "json")
	require.NoError(t, json.Unmarshal(out, &h), string(out))
	return h
}
