package mirror

import (
	"context"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Syncer reads the keys that begin with a prefix, and follows their changes. Its methods are safe
// for concurrent use.
type Syncer interface {
	// SyncBase reads all keys with the prefix at one revision. It delivers them page by page, in
	// the order of the keys. The revision is the argument rev of NewSyncer. If rev is 0, the first
	// SyncBase reads at the newest revision, and later calls read at the revision of the first
	// call. SyncBase blocks until it has read the first page.
	//
	// Both channels are closed after the last page. An error is delivered by the error channel
	// before it is closed. It is rpctypes.ErrCompacted if the revision was compacted, ctx's error
	// if ctx has ended, or another error of [clientv3.KV].
	//
	// At most one page is buffered. A goroutine waits until the reader takes the next page. A
	// program that stops reading must end ctx or close the client, which ends the goroutine.
	SyncBase(ctx context.Context) (<-chan *clientv3.GetResponse, chan error)

	// SyncUpdates watches the keys with the prefix. It begins at the revision after the one that
	// SyncBase reads at. The channel and its errors are those of Watch of [clientv3.Watcher]. The
	// changes of one revision come in one response. SyncUpdates panics if no revision is known:
	// NewSyncer was called with 0, and no SyncBase has read its first page yet.
	SyncUpdates(ctx context.Context) clientv3.WatchChan
}

// NewSyncer returns a Syncer for the keys that begin with prefix. An empty prefix means all keys.
// SyncBase reads the keys at the revision rev, or at the newest revision if rev is 0. NewSyncer
// sends nothing. The Syncer can be used until c is closed.
func NewSyncer(c *clientv3.Client, prefix string, rev int64) Syncer {
	s := &syncer{client: c, prefix: prefix}
	s.rev.Store(rev)
	return s
}

type syncer struct {
	// read-only after NewSyncer
	client *clientv3.Client
	prefix string

	rev atomic.Int64 // the revision that SyncBase reads at; 0 while unknown
}

func (s *syncer) SyncUpdates(ctx context.Context) clientv3.WatchChan {
	rev := s.rev.Load()
	if rev == 0 {
		//nolint:forbidigo // SyncUpdates documents this panic
		panic(
			"etcdclient: SyncUpdates is called before SyncBase has found the revision to begin at")
	}
	return s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(rev+1))
}
