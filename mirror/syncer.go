package mirror

import (
	"context"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Syncer reads a part of the key space and follows its changes. Its methods are safe
// for concurrent use.
type Syncer interface {
	// SyncBase reads all keys with the prefix at one revision, and delivers them in the
	// order of the keys, page by page. The revision is the one that NewSyncer was given,
	// and where that is 0 the newest at the first call: later ones read the same again.
	// It blocks until the first page is there.
	//
	// Both channels are closed after the last page. Before that the error channel
	// delivers an error, if there is one: rpctypes.ErrCompacted where the revision was
	// compacted, that of ctx where it ended, or another of [clientv3.KV].
	//
	// No more than one page waits for its reader. One who stops reading must end ctx;
	// closing the client frees what the call holds too.
	SyncBase(ctx context.Context) (<-chan *clientv3.GetResponse, chan error)

	// SyncUpdates watches the keys with the prefix, beginning with the revision after
	// that of SyncBase. Its channel is one of [clientv3.Watcher], with its errors; the
	// changes of one revision come in one response. It panics before the first SyncBase
	// has returned without error, unless NewSyncer was given a revision: where to begin
	// is not known then.
	SyncUpdates(ctx context.Context) clientv3.WatchChan
}

// NewSyncer returns a Syncer for the keys that begin with prefix; with an empty one these
// are all keys. A rev other than 0 is the revision to read them at, and whose successor
// is the first to be watched. It sends nothing, and lives as long as c.
func NewSyncer(c *clientv3.Client, prefix string, rev int64) Syncer {
	s := &syncer{client: c, prefix: prefix}
	s.rev.Store(rev)
	return s
}

// syncer is the Syncer of this package.
type syncer struct {
	// read-only after NewSyncer
	client *clientv3.Client
	prefix string

	rev atomic.Int64 // of the base; 0 while it is not known
}

func (s *syncer) SyncUpdates(ctx context.Context) clientv3.WatchChan {
	rev := s.rev.Load()
	if rev == 0 {
		//nolint:forbidigo // documented: a mistake in the order of calls
		panic("etcdclient: SyncUpdates is called before SyncBase has found the revision to begin at")
	}
	return s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
}
