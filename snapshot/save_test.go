package snapshot

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// sending returns a handler that sends data in parts, and then calls the function end unless it is
// nil.
func sending(data []byte, end func(context.Context) error) etcdfake.StreamHandler {
	return func(s grpc.ServerStream) error {
		if err := s.RecvMsg(&pb.SnapshotRequest{}); err != nil {
			return err
		}
		for rest := data; len(rest) > 0; {
			n := min(1000, len(rest))
			if err := s.SendMsg(&pb.SnapshotResponse{Blob: rest[:n],
				Version: "3.7.0"}); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if end == nil {
			return nil
		}
		return end(s.Context())
	}
}

func TestSaveWritesTheVerifiedFile(t *testing.T) {
	fake := etcdfake.Start(t)
	whole := sealed(100)
	fake.Stream("Snapshot", sending(whole, nil))
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	require.NoError(t, os.WriteFile(path, []byte("an older snapshot"), 0o644))

	core, logs := observer.New(zap.InfoLevel)
	version, err := SaveWithVersion(t.Context(), zap.New(core),
		clientv3.Config{Endpoints: []string{fake.Addr()}}, path)
	require.NoError(t, err)
	assert.Equal(t, "3.7.0", version)
	assert.Equal(t, []string{"db"}, names(t, dir))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(whole, got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm()&0o677)
	assert.EqualValues(t, len(whole), logs.FilterMessage(
		"received snapshot").All()[0].ContextMap()["bytes"])

	require.NoError(t, Save(t.Context(), nil, clientv3.Config{Endpoints: []string{fake.Addr()}},
		filepath.Join(dir, "db2")))
	assert.Equal(t, []string{"db", "db2"}, names(t, dir))
}

// If a snapshot cannot be saved, the directory is as it was.
func TestFailureLeavesNoFile(t *testing.T) {
	whole := sealed(100)
	for name, tc := range map[string]struct {
		script etcdfake.StreamHandler
		want   string
	}{
		"truncated":             {sending(whole[:len(whole)-100], nil), "truncated"},
		"truncated to a sector": {sending(whole[:50*sectorSize+32], nil), "corrupt"},
		"altered":               {sending(altered(whole, 12345), nil), "corrupt"},
		"altered checksum":      {sending(altered(whole, len(whole)-1), nil), "corrupt"},
		"nothing":               {sending(nil, nil), "unexpected EOF"},
		"refused": {
			sending(nil, func(context.Context) error { return rpctypes.ErrGRPCPermissionDenied }),
			rpctypes.ErrPermissionDenied.Error(),
		},
		"broken off": {
			sending(whole, func(context.Context) error {
				return rpctypes.ErrGRPCStopped
			}), rpctypes.ErrStopped.Error(),
		},
	} {
		for _, before := range []string{"", "an older snapshot"} {
			t.Run(name+" "+before, func(t *testing.T) {
				fake := etcdfake.Start(t)
				fake.Stream("Snapshot", tc.script)
				dir := t.TempDir()
				path := filepath.Join(dir, "db")
				if before != "" {
					require.NoError(t, os.WriteFile(path, []byte(before), 0o644))
				}
				_, err := SaveWithVersion(t.Context(), nil,
					clientv3.Config{Endpoints: []string{fake.Addr()}}, path)
				assert.ErrorContains(t, err, tc.want)
				if before == "" {
					assert.Empty(t, names(t, dir))
					return
				}
				assert.Equal(t, []string{"db"}, names(t, dir))
				got, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, before, string(got))
			})
		}
	}
}

func TestCancellingEndsTheRequest(t *testing.T) {
	fake := etcdfake.Start(t)
	sent := make(chan struct{})
	fake.Stream("Snapshot", sending(sealed(10), func(ctx context.Context) error {
		close(sent)
		<-ctx.Done()
		return nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	context.AfterFunc(t.Context(), cancel)
	dir := t.TempDir()
	saved := make(chan error)
	go func() {
		_, err := SaveWithVersion(ctx, nil, clientv3.Config{Endpoints: []string{fake.Addr()}},
			filepath.Join(dir, "db"))
		saved <- err
	}()
	<-sent
	assert.Len(t, names(t, dir), 1)
	cancel()
	assert.Equal(t, context.Canceled, <-saved)
	assert.Empty(t, names(t, dir))
	require.Eventually(t, func() bool {
		open, _ := fake.Streams("Snapshot")
		return open == 0
	}, time.Minute, time.Millisecond)
}

// A login that gets no answer ends with the context of the call.
func TestCancellingEndsTheLogin(t *testing.T) {
	fake := etcdfake.Start(t, etcdfake.WithUser("root", "pw"))
	fake.Delay("Authenticate", time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	saved := make(chan error)
	go func() {
		cfg := clientv3.Config{Endpoints: []string{fake.Addr()}, Username: "root", Password: "pw"}
		_, err := SaveWithVersion(ctx, nil, cfg, filepath.Join(t.TempDir(), "db"))
		saved <- err
	}()
	require.Eventually(t, func() bool {
		return fake.Calls("Authenticate") == 1
	}, time.Minute, time.Millisecond)
	cancel()
	assert.Equal(t, context.Canceled, <-saved)
}

func TestSaveRefusesWhatCannotWork(t *testing.T) {
	fake := etcdfake.Start(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	for _, endpoints := range [][]string{nil, {"a:1", "b:2"}} {
		_, err := SaveWithVersion(t.Context(), nil, clientv3.Config{Endpoints: endpoints}, path)
		assert.ErrorContains(t, err, "exactly one endpoint")
	}
	cfg := clientv3.Config{Endpoints: []string{fake.Addr()}}
	_, err := SaveWithVersion(t.Context(), nil, cfg, filepath.Join(dir, "none", "db"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = SaveWithVersion(t.Context(), nil, cfg, dir)
	assert.ErrorContains(t, err, "not a regular file")
	cfg.Token, cfg.Username = "t", "u"
	_, err = SaveWithVersion(t.Context(), nil, cfg, path)
	assert.ErrorIs(t, err, clientv3.ErrMutuallyExclusiveCfg)
	_, total := fake.Streams("Snapshot")
	assert.Zero(t, total, "nothing is asked of the server before there is a place for its answer")
	assert.Empty(t, names(t, dir))
}

func TestProgressIsLoggedEveryFewSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		now := time.Now()
		p := &progress{lg: zap.New(core), started: now, logged: now}
		for range 100 {
			time.Sleep(progressStep / 20)
			n, err := p.Write(make([]byte, 1000))
			require.NoError(t, err)
			require.Equal(t, 1000, n)
		}
		var bytes []any
		for _, entry := range logs.All() {
			bytes = append(bytes, entry.ContextMap()["bytes"])
		}
		assert.Equal(t, []any{int64(20000), int64(40000), int64(60000), int64(80000),
			int64(100000)}, bytes)
	})
}
