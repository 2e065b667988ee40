// Package snapshot saves the database of an etcd member to a file. From that file, etcdutl can
// restore a cluster.
//
//	member := clientv3.Config{Endpoints: []string{"127.0.0.1:2379"}} // one member
//	version, err := snapshot.SaveWithVersion(ctx, logger, member, "backup.db")
//
// On the new machine: etcdutl snapshot restore backup.db --data-dir DIR
package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
)

// window is gRPC's flow-control window in bytes. At most this many received bytes of a snapshot
// wait to be written to the file. By default, gRPC makes the window many times larger when the
// network is faster than the disk. While 200 MiB are saved, this window and the codec of
// internal/wire limit the growth of the heap to some 2 MiB, instead of 8 to 21 MiB.
const window = 1 << 20

// progressStep is the least time between two log lines about a transfer.
const progressStep = 5 * time.Second

// SaveWithVersion saves a snapshot of one etcd member to the file dbPath. It blocks until the
// snapshot is saved or ctx ends. It logs its progress to lg every few seconds; a nil lg logs
// nothing.
//
// SaveWithVersion returns the etcd version whose storage format the snapshot has. The version is ""
// if the server is older than 3.6 or has just started.
//
// The snapshot is first written to a part file in dbPath's directory, which is named after dbPath
// and ends in ".part". Its size and SHA-256 checksum are verified, and it is flushed to the disk.
// Then the part file is renamed to dbPath, and replaces an existing file. Only the file's owner can
// read it. If anything fails before the rename, the part file is removed and dbPath is as it was. A
// part file stays behind only if the process ends before SaveWithVersion returns.
//
// SaveWithVersion returns an error in these cases:
//
//   - cfg does not have exactly one endpoint. The snapshot holds the state of one member.
//   - The snapshot is truncated or altered.
//   - clientv3.New or SnapshotWithVersion fails, also because ctx has ended.
//   - A call to the file system fails. If this is the flush of dbPath's directory after the rename,
//     dbPath has the new snapshot all the same.
//
// A transfer that breaks off is not continued: call SaveWithVersion again. It is safe for
// concurrent use, also with the same dbPath.
func SaveWithVersion(
	ctx context.Context, lg *zap.Logger, cfg clientv3.Config, dbPath string,
) (string, error) {
	if len(cfg.Endpoints) != 1 {
		return "", fmt.Errorf("snapshot: exactly one endpoint is needed, got %d: %q",
			len(cfg.Endpoints), cfg.Endpoints)
	}
	if lg == nil {
		lg = zap.NewNop()
	}
	client, release, err := newClient(ctx, lg, cfg)
	if err != nil {
		return "", err
	}
	defer release()

	part, err := createPart(dbPath)
	if err != nil {
		return "", err
	}
	version, err := fetch(ctx, lg, client, part)
	if err != nil {
		if left := part.discard(); left != nil {
			err = errors.Join(err, left)
		}
		return "", err
	}
	if err := part.commit(); err != nil {
		return "", err
	}
	lg.Info("saved snapshot", zap.String("path", dbPath), zap.String("version", version))
	return version, nil
}

// Save is [SaveWithVersion] without the version.
//
// Deprecated: use SaveWithVersion. The version says which etcd can restore the snapshot.
func Save(ctx context.Context, lg *zap.Logger, cfg clientv3.Config, dbPath string) error {
	_, err := SaveWithVersion(ctx, lg, cfg, dbPath)
	return err
}

// newClient makes a client that ends when ctx or cfg.Context ends. So ctx also bounds the client's
// login. The returned release closes the client.
func newClient(
	ctx context.Context, lg *zap.Logger, cfg clientv3.Config,
) (_ *clientv3.Client, release func(), _ error) {
	if cfg.Context == nil {
		cfg.Context = ctx
	}
	life, end := await.Join(ctx, cfg.Context)
	cfg.Context = life
	if cfg.Logger == nil && cfg.LogConfig == nil {
		cfg.Logger = lg
	}
	cfg.DialOptions = append([]grpc.DialOption{
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
	}, cfg.DialOptions...)
	client, err := clientv3.New(cfg)
	if err != nil {
		end()
		return nil, nil, cmp.Or(ctx.Err(), err)
	}
	return client, func() {
		end()
		_ = client.Close() // the error does not matter: all requests have ended
	}, nil
}

// fetch reads a snapshot from m, writes it to w, and verifies it. The result version is the etcd
// version of the snapshot's storage format.
func fetch(
	ctx context.Context, lg *zap.Logger, m clientv3.Maintenance, w io.Writer,
) (version string, err error) {
	p := &progress{lg: lg, started: time.Now()}
	p.logged = p.started
	resp, err := m.SnapshotWithVersion(ctx)
	if err != nil {
		return "", err
	}
	defer resp.Snapshot.Close()
	lg.Info("receiving snapshot", zap.String("version", resp.Version))
	v := newVerifier(w)
	if _, err := io.Copy(io.MultiWriter(v, p), resp.Snapshot); err != nil {
		return "", err
	}
	if err := v.check(); err != nil {
		return "", err
	}
	lg.Info("received snapshot", zap.Int64("bytes", v.size),
		zap.Duration("took", time.Since(p.started)))
	return resp.Version, nil
}

// progress is a writer that counts the bytes of a transfer. It logs the count at most once in a
// progressStep.
type progress struct {
	lg              *zap.Logger
	started, logged time.Time
	size            int64
}

func (p *progress) Write(b []byte) (int, error) {
	p.size += int64(len(b))
	if now := time.Now(); now.Sub(p.logged) >= progressStep {
		p.logged = now
		p.lg.Info("receiving snapshot", zap.Int64("bytes", p.size),
			zap.Duration("took", now.Sub(p.started)))
	}
	return len(b), nil
}
