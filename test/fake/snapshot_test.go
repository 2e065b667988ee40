package fake_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

func etcdutl(t *testing.T, args ...string) []byte {
	t.Helper()
	tool, err := filepath.Abs(filepath.Join("..", "..", "bin", "etcdutl"))
	require.NoError(t, err)
	out, err := exec.Command(tool, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	require.NoError(t, err, "etcdutl %v; `make etcdutl` builds it", args)
	return out
}

// etcdutl can restore a snapshot of the fake. The restored keys have the hash that the fake's
// HashKV returns.
func TestSnapshotIsRestoredByEtcdutl(t *testing.T) {
	for _, keys := range []int{0, 3, 25_000} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) { restore(t, keys) })
	}
}

func restore(t *testing.T, keys int) {
	c := etcdfake.New(t)
	client := c.Client()
	for i := 0; i < keys; i += 100 {
		var puts []clientv3.Op
		for j := i; j < min(i+100, keys); j++ {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("key%05d", j), "value"))
		}
		_, err := client.Txn(t.Context()).Then(puts...).Commit()
		require.NoError(t, err)
	}
	if keys > 0 {
		_, err := client.Delete(t.Context(), "key00001")
		require.NoError(t, err)
		_, err = client.Grant(t.Context(), 60)
		require.NoError(t, err)
		c.Compact(2)
	}
	want, err := pb.NewMaintenanceClient(client.ActiveConnection()).HashKV(t.Context(),
		&pb.HashKVRequest{})
	require.NoError(t, err)
	file, restored := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "data")
	save(t, client, file)
	etcdutl(t, "snapshot", "restore", file, "--data-dir", restored)
	var got struct{ Hash, HashRevision, CompactRevision int64 }
	out := etcdutl(t, "hashkv", filepath.Join(restored, "member", "snap", "db"), "-w", "json")
	require.NoError(t, json.Unmarshal(out, &got))
	require.Equal(t, int64(want.Hash), got.Hash, "%s", out)
	require.Equal(t, want.CompactRevision, got.CompactRevision)
}

func save(t *testing.T, client *clientv3.Client, file string) {
	t.Helper()
	snapshot, err := client.Snapshot(t.Context())
	require.NoError(t, err)
	content, err := io.ReadAll(snapshot)
	require.NoError(t, err)
	require.NoError(t, snapshot.Close())
	require.NoError(t, os.WriteFile(file, content, 0o600))
}
