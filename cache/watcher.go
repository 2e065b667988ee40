package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// proofOfNow is how long a Watch without a start revision waits for a proof that the cache has
// everything that was acknowledged before the call.
const proofOfNow = 2 * time.Second

// missedFor is how long calls of Watch skip the wait for a proof that the cache is up to date,
// after one call has waited for proofOfNow and got no proof. They wait again as soon as a proof has
// come.
const missedFor = 10 * time.Second

// Watcher returns a Watcher that answers watches from the cache. The number of watches does not
// matter to the server, and an event of a key costs nothing for watches of other keys. The watches
// keep the contract of clientv3.Watcher, with all options of a watch: every revision comes once,
// complete and in order. WatchResponse.Err is ErrCompacted only if the server no longer has the
// history.
//
//	from now on, without WithRev      Watch waits for a proof that the cache has everything written
//	                                  before the call, as Fresh does with a maximum age of 0. After
//	                                  two seconds without a proof, as in a cluster without quorum,
//	                                  the watch begins with what the cache has. It may then get
//	                                  older changes, like a watch on a member that is behind. For
//	                                  the next ten seconds, or until a proof comes, other calls do
//	                                  not wait
//	from a revision in the history    the changes come from memory
//	from an older revision            the changes come from a watch on the server, until the history
//	                                  of the cache has the next ones
//	before the cache has read the     Watch waits for two seconds, and longer while pages of the
//	range for the first time          range arrive. If the range is still not read then, the watch
//	                                  is opened on the server
//	after a gap in the history        the changes that the cache has missed come from one watch on
//	                                  the server, which the watches of the Watcher share if their
//	                                  contexts have the same metadata
//	keys outside of the cache's       the watch is opened on the server, through the client's
//	range; a cache with WithKeysOnly; Watcher, and a goroutine passes its responses on
//	a cache that ended by a failure
//
// If a consumer does not read its channel, responses wait in memory, as with the client's Watcher.
// The consumer then also keeps one entry of the history in memory. All watches and snapshots of the
// cache share the events and their pairs, which must not be changed.
//
// RequestProgress is answered when the watches have been given everything that was written before
// the call. In two cases the answer may come late:
//
//   - The server does not answer requests for progress (a gRPC proxy), or may answer before older
//     events (etcd before 3.4.25, and from 3.5.0 to 3.5.7). The answer may then come only with the
//     next change in the range of the cache, which proves that the cache has everything before it.
//   - The server has compacted the revision at which a watch starts. The answer may then come only
//     when this watch has an event.
//
// Each call of Cache.Watcher returns another Watcher. Close it to end its watches; Close of the
// cache ends them, too.
func (c *Cache) Watcher() clientv3.Watcher {
	w := &cacheWatcher{cache: c, server: &memoryServer{cache: c}}
	w.ctx, w.cancel = context.WithCancel(c.client.Ctx())
	client := clientv3.NewCtxClient(w.ctx, clientv3.WithZapLogger(c.log))
	w.memory = clientv3.NewWatchFromWatchClient(w.server, client)
	w.direct = &directWatches{server: c.client, end: w.ctx}
	if !c.watchers.add(w) {
		_ = w.end()
	}
	return w
}

// cacheWatcher is the clientv3.Watcher that Cache.Watcher returns.
type cacheWatcher struct {
	// read-only after Watcher
	cache  *Cache
	ctx    context.Context // ends when the Watcher or the client is closed
	cancel context.CancelFunc
	server *memoryServer
	// memory is the Watcher of package clientv3, with the field server in place of a connection.
	memory clientv3.Watcher
	direct *directWatches // the watches that the cache cannot answer
}

func (w *cacheWatcher) Watch(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) clientv3.WatchChan {
	var op clientv3.Op
	op.WithKeyBytes([]byte(key))
	for _, opt := range opts {
		opt(&op)
	}
	c := w.cache
	if c.opts.keysOnly || !c.opts.covers(string(op.KeyBytes()), string(op.RangeBytes())) {
		return w.direct.open(ctx, key, opts)
	}
	err := c.now().err
	if op.Rev() == 0 || !c.now().synced() {
		err = w.proveNow(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) && !c.now().synced() || c.endedByItself(err) {
		return w.direct.open(ctx, key, opts)
	}
	return w.memory.Watch(ctx, key, opts...)
}

// proveNow waits for a proof that the cache has everything that was acknowledged before the call.
// It waits two seconds (proofOfNow), and two more each time that pages of the range have arrived
// while it waited. If there is no proof, it returns an error.
//
// After a wait without success, calls of proveNow return at once for the next ten seconds
// (missedFor). If a proof comes earlier, calls wait again.
func (w *cacheWatcher) proveNow(ctx context.Context) error {
	c, now := w.cache, time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	timeout := proofOfNow
	if missed := c.missed.Load(); missed != nil && time.Since(*missed) < missedFor &&
		!c.now().provenAt.After(*missed) {
		timeout = 0
	}
	for {
		pages := c.counts.pages.Load()
		wait, stop := context.WithTimeout(ctx, timeout)
		_, err := c.provenSince(wait, now)
		stop()
		switch {
		case err == nil || ctx.Err() != nil || c.now().err != nil || timeout == 0:
			return err
		case c.counts.pages.Load() == pages:
			missed := time.Now()
			c.missed.Store(&missed)
			return err
		}
	}
}

// endedByItself reports whether the cache has ended by a failure, not by Close. It returns false if
// err, the result of a wait for the cache, is nil or ErrClosed.
func (c *Cache) endedByItself(err error) bool {
	return err != nil && c.now().err != nil && !errors.Is(err, ErrClosed)
}

func (w *cacheWatcher) RequestProgress(ctx context.Context) error {
	err := w.memory.RequestProgress(ctx)
	if w.direct.any() {
		if direct := w.cache.client.RequestProgress(ctx); direct == nil {
			return nil
		}
	}
	return err
}

// Close ends all watches of the Watcher, and returns when their channels are closed and their
// goroutines have ended.
func (w *cacheWatcher) Close() error {
	w.cache.watchers.remove(w)
	return w.end()
}

func (w *cacheWatcher) end() error {
	w.cancel()
	err := w.memory.Close()
	w.server.tasks.Wait()
	w.direct.close()
	return err
}

// watcherSet holds the Watchers of a cache that are not closed.
type watcherSet struct {
	mu     sync.Mutex
	closed bool
	open   map[*cacheWatcher]struct{}
}

// add adds a Watcher to the set. It returns false, and adds nothing, if the cache is closed.
func (s *watcherSet) add(w *cacheWatcher) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*cacheWatcher]struct{})
	}
	if !s.closed {
		s.open[w] = struct{}{}
	}
	return !s.closed
}

func (s *watcherSet) remove(w *cacheWatcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, w)
}

// close ends all Watchers of the cache. After that, add refuses new ones.
func (s *watcherSet) close() {
	s.mu.Lock()
	s.closed = true
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for w := range open {
		_ = w.end()
	}
}
