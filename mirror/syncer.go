package mirror

import (
	"context"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Syncer reads the keys that begin with a prefix, and follows their changes. Its methods are safe
// for concurrent use.
type Syncer interface {
	// SyncBase reads all keys with the prefix at one revision, and delivers them in the order of
	// the keys, page by page. The revision is the one that NewSyncer was given, or if that is 0 the
	// newest one at the first call; later calls read the same revision again. SyncBase blocks until
	// the first page is there.
	//
	// Both channels are closed after the last page. If there is an error, the error channel
	// delivers it before: rpctypes.ErrCompacted if the revision was compacted, ctx's error if ctx
	// has ended, or another error of [clientv3.KV].
	//
	// At most one page waits for its reader. A reader that stops reading must end ctx; closing the
	// client also frees what the call holds.
	SyncBase(ctx context.Context) (<-chan *clientv3.GetResponse, chan error)

	// SyncUpdates watches the keys with the prefix, from the revision after that of SyncBase on. It
	// returns a channel of [clientv3.Watcher], with its errors; the changes of one revision come in
	// one response. It panics if the revision is not known: before the first SyncBase has returned
	// without error, unless NewSyncer was given a revision.
	SyncUpdates(ctx context.Context) clientv3.WatchChan
}

// NewSyncer returns a Syncer for the keys that begin with prefix; an empty prefix means all keys. A
// rev other than 0 is the revision at which SyncBase reads them. NewSyncer sends nothing. The
// Syncer lives as long as c.
func NewSyncer(c *clientv3.Client, prefix string, rev int64) Syncer {
	s := &syncer{client: c, prefix: prefix}
	s.rev.Store(rev)
	return s
}

type syncer struct {
	// read-only after NewSyncer
	client *clientv3.Client
	prefix string

	rev atomic.Int64 // the revision of SyncBase; 0 while it is not known
}

func (s *syncer) SyncUpdates(ctx context.Context) clientv3.WatchChan {
	rev := s.rev.Load()
	if rev == 0 {
		//nolint:forbidigo // documented: a mistake in the order of calls
		panic("etcdclient: SyncUpdates is called before SyncBase has found the revision to begin at")
	}
	return s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
}
