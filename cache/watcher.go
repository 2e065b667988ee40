package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// proofOfNow is how long a Watch without a revision waits for a proof that the cache has everything
// written before the call.
const proofOfNow = 2 * time.Second

// After a Watch has waited for proofOfNow without a proof, no other one waits for a proof during
// missedFor.
const missedFor = 10 * time.Second

// Watcher returns a Watcher whose watches are answered from the cache: any number of them cost the
// server nothing, and an event of a key costs nothing for watches of other keys. It keeps the
// contract of clientv3.Watcher, with all options of a watch: every revision comes once, whole and
// in order, and WatchResponse.Err is ErrCompacted only if the server has no more of the history.
//
//	from now on, without WithRev      Watch waits for a proof that the cache has everything written
//	                                  before the call, as Fresh does with a maximum age of 0. After
//	                                  two seconds without a proof, as in a cluster without quorum,
//	                                  it begins with what the cache has, like a watch on a member
//	                                  that is behind, and may get older changes. For ten seconds, or
//	                                  until a proof comes, later calls do not wait. While pages of
//	                                  a list arrive, Watch waits for its end. If the range was not
//	                                  read yet, the watch is one on the server
//	from a revision in the history    the changes come from memory
//	from an older revision            they come from a watch on the server, until the history of the
//	                                  cache has what follows
//	after a gap                       the changes that the cache has missed come from one watch on the
//	                                  server, which all watches share
//	keys outside of the cache's       the watch is one on the server, through the client's Watcher.
//	range; a cache with WithKeysOnly  So it is for all watches once the cache has ended by itself.
//
// For a consumer that does not read, memory holds what the client's Watcher holds for it, and one
// entry of the history. All watches and snapshots of the cache share the events and their pairs,
// which must not be changed.
//
// RequestProgress is answered when the watches have been given everything that was written before
// the call. If the server does not answer requests for progress (the gRPC proxy), or may send an
// answer ahead of older events (etcd before 3.4.25 and 3.5.8), only a later change of the cache's
// range may prove that. The answer then comes with that change.
//
// Each call returns a Watcher of its own. Close it, or the cache, to end its watches.
func (c *Cache) Watcher() clientv3.Watcher {
	w := &cacheWatcher{cache: c, server: &memoryServer{cache: c}}
	w.ctx, w.cancel = context.WithCancel(c.client.Ctx())
	client := clientv3.NewCtxClient(w.ctx, clientv3.WithZapLogger(c.log))
	w.memory = clientv3.NewWatchFromWatchClient(w.server, client)
	if !c.watchers.add(w) {
		_ = w.end()
	}
	return w
}

// cacheWatcher is the Watcher of a cache.
type cacheWatcher struct {
	// read-only after Watcher
	cache  *Cache
	ctx    context.Context // ends with Close and with the client
	cancel context.CancelFunc
	server *memoryServer
	memory clientv3.Watcher // on server

	direct atomic.Bool // watches were opened on the server
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
		return w.watchServer(ctx, key, opts)
	}
	if op.Rev() != 0 {
		if c.endedByItself(c.now().err) {
			return w.watchServer(ctx, key, opts)
		}
		return w.memory.Watch(ctx, key, opts...)
	}
	err := w.proveNow(ctx)
	if errors.Is(err, context.DeadlineExceeded) && !c.now().synced() || c.endedByItself(err) {
		return w.watchServer(ctx, key, opts)
	}
	return w.memory.Watch(ctx, key, opts...)
}

// proveNow waits for a proof that the cache has everything written before the call, for proofOfNow.
// If a page of a list has arrived in that time, it waits for proofOfNow again. It does not wait if
// another call has got no proof in the last missedFor, and there has been none since.
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

// endedByItself reports whether err is the error that the cache ended with, and not that of a call
// of Close.
func (c *Cache) endedByItself(err error) bool {
	return err != nil && c.now().err != nil && !errors.Is(err, ErrClosed)
}

// watchServer opens a watch on the server, which ends with the Watcher.
func (w *cacheWatcher) watchServer(
	ctx context.Context, key string, opts []clientv3.OpOption,
) clientv3.WatchChan {
	w.direct.Store(true)
	if ctx.Done() == nil {
		// A context that is derived and cancelled would outlive a watch that the server ends.
		return w.cache.client.Watch(boundContext{Context: ctx, end: w.ctx}, key, opts...)
	}
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(w.ctx, cancel)
	context.AfterFunc(ctx, func() { release() })
	return w.cache.client.Watch(ctx, key, opts...)
}

// boundContext has the values of a context that never ends, and ends with another one.
type boundContext struct {
	context.Context
	end context.Context
}

// Deadline implements context.Context.
func (c boundContext) Deadline() (time.Time, bool) { return c.end.Deadline() }

// Done implements context.Context.
func (c boundContext) Done() <-chan struct{} { return c.end.Done() }

// Err implements context.Context.
func (c boundContext) Err() error { return c.end.Err() }

// AfterFunc calls f in its own goroutine when the context has ended. Package context uses it for
// contexts that are derived from this one, instead of a goroutine for each.
func (c boundContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.end, f) }

func (w *cacheWatcher) RequestProgress(ctx context.Context) error {
	err := w.memory.RequestProgress(ctx)
	if w.direct.Load() {
		if direct := w.cache.client.RequestProgress(ctx); direct == nil {
			return nil
		}
	}
	return err
}

// Close ends all watches, closes their channels, and returns when nothing of them is left running.
func (w *cacheWatcher) Close() error {
	w.cache.watchers.remove(w)
	return w.end()
}

func (w *cacheWatcher) end() error {
	w.cancel()
	err := w.memory.Close()
	w.server.tasks.Wait()
	return err
}

// watcherSet holds the Watchers of a cache that are not closed.
type watcherSet struct {
	mu     sync.Mutex
	closed bool
	open   map[*cacheWatcher]struct{}
}

// add adds a Watcher. It returns false if the cache is closed.
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

// close ends all Watchers, and lets no other be opened.
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
