package cache

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/metadata"
)

// Cache is a copy in memory of a range of keys. All methods are safe for concurrent use.
type Cache struct {
	// read-only after New
	client *clientv3.Client
	opts   options
	log    *zap.Logger
	// ctx ends when the cache is closed or fails, and when the client is closed.
	ctx    context.Context
	cancel context.CancelFunc
	// watchCtx is derived from ctx. Its metadata gives the watch of this cache a gRPC stream of its
	// own.
	watchCtx context.Context
	ask      chan struct{} // wakes the askForProgress goroutine; has room for one signal
	// answered receives a signal when a notice of watch progress has arrived. It has room for one.
	answered chan struct{}

	// newest is the newest view. Readers load it without a lock; it is replaced under mu.
	newest atomic.Pointer[view]
	// history is the log of changes. An entry is appended before the view that refers to it is
	// published.
	history *history
	// eager says that the next question must be sent together with a request for watch progress. A
	// question is a linearizable read that proves freshness. eager is set if the previous answer
	// had a later revision than the newest view had when its question was sent.
	eager  atomic.Bool
	counts counts
	// missed is when a call of Watch last gave up waiting for a proof that the cache is up to date;
	// nil if none has.
	missed   atomic.Pointer[time.Time]
	watchers watcherSet
	tasks    sync.WaitGroup // the goroutines of the cache; Close waits for them
	// asker sends the linearizable reads that prove freshness, for all caches of the client.
	asker *asker
	leave func() // tells asker that this cache is closed; a second call does nothing
	stall stall  // for how long the watch has been stuck; only the askForProgress goroutine uses it

	mu sync.Mutex
	// phase says in words what the follower (the goroutine that keeps the copy up to date) waits
	// for. It is part of errors and of Status, and empty while the follower just follows its watch.
	phase string
	// proofs are answers to linearizable reads whose revision no view has reached yet. When a view
	// reaches the revision of such an answer, the answer proves how fresh the view is.
	proofs proofs
	// list says whether and why the whole range has to be read from the server.
	list listing
	// interrupt ends the watch of the cache with the given error; nil before the first watch.
	interrupt context.CancelCauseFunc
	// target is a revision: progress is requested from the server until a view has reached it.
	target int64
	// listTarget is the revision that the watch must reach to complete a list (read of the whole
	// range). It is set when the list has all pages. It is 0 if no list waits for the watch.
	listTarget int64
	// waiters is the number of calls that wait for a revision that may not exist yet. While waiters
	// is above 0, the number of requests for progress is not limited.
	waiters int
	// once says that one request for progress is to be sent, even if a view has already reached the
	// revision target.
	once    bool
	known   int64   // the greatest revision that an answer of the server has shown to exist
	silence silence // for how long the server has not answered requests for progress

	// behindSince is when the revision of the newest view last became lower than the field known.
	behindSince time.Time
}

// counts has the totals that Cache.Status returns, and the number of pages. cacheWatcher.proveNow
// compares two values of the number of pages, to see whether a read of the whole range makes
// progress.
type counts struct {
	// questions counts the linearizable reads that were sent to prove freshness. shared counts the
	// readers that were answered by these reads.
	questions, shared atomic.Int64
	// lists counts the reads of the whole range. audits counts how often the number of keys was
	// compared with the number on the server. differences counts how often an audit or an Update
	// has found that the copy is wrong.
	lists, audits, differences atomic.Int64
	pages                      atomic.Int64 // pages counts the pages that were read by all lists
}

// streams is the last number that a cache, or a stream of a cache's Watcher, has taken. Each of
// them takes a new number and adds it to the metadata of the watches that it opens on the server.
// The client sends watches with different metadata on different gRPC streams.
var streams atomic.Int64

// streamKey is the metadata key that gives the watch of each cache a gRPC stream of its own. An
// answer to a request for progress is about all watches of a stream. On a shared stream, the answer
// would come only when the other watches have caught up, too.
const streamKey = "etcd-cache-stream"

// New starts a cache of all keys that begin with prefix, or of the range given by WithRange. It
// does not block: use WaitSynced to wait until the range has been read. New returns an error if an
// option is invalid or the client is nil.
//
// The cache reads and watches through the KV and the Watcher that c embeds. It ends when c is
// closed. Close the cache to free its memory and its watch.
func New(c *clientv3.Client, prefix string, opts ...Option) (*Cache, error) {
	if c == nil || c.KV == nil || c.Watcher == nil {
		return nil, errors.New("cache: the client is nil or has no KV and Watcher")
	}
	o, err := newOptions(prefix, opts)
	if err != nil {
		return nil, err
	}
	k := &Cache{client: c, opts: o, log: c.GetLogger(), ask: make(chan struct{}, 1),
		answered: make(chan struct{}, 1), history: newHistory(o.history)}
	k.ctx, k.cancel = context.WithCancel(c.Ctx())
	id := strconv.FormatInt(streams.Add(1), 10)
	k.watchCtx = metadata.AppendToOutgoingContext(
		clientv3.WithRequireLeader(k.ctx), streamKey, id)
	k.list = listing{wanted: true}
	k.newest.Store(&view{last: &entry{}, replaced: make(chan struct{})})
	k.asker = joinAsker(c)
	k.leave = sync.OnceFunc(func() { leaveAsker(c) })
	k.start()
	return k, nil
}

// WaitSynced waits until the range has been read for the first time, and then returns nil. If the
// cache ends first, WaitSynced returns the error that the cache has ended with. If ctx ends first,
// it returns an error that wraps the error of ctx and says what the cache is waiting for.
func (c *Cache) WaitSynced(ctx context.Context) error {
	_, err := c.await(ctx, (*view).synced)
	return err
}

// Snapshot returns the newest state. It sends no request and takes no lock. Before the range has
// been read, the snapshot is empty and its Revision is 0.
func (c *Cache) Snapshot() Snapshot { return Snapshot{view: c.now()} }

// AtLeast waits until the cache has reached the revision rev, and returns its newest snapshot. The
// snapshot contains every write up to rev in the range, the write that returned rev included. Two
// caches may return snapshots of different revisions for the same rev.
//
// If the cache ends first, AtLeast returns the error that the cache has ended with. If ctx ends
// first, it returns an error that wraps the error of ctx and says what the cache is waiting for.
func (c *Cache) AtLeast(ctx context.Context, rev int64) (Snapshot, error) {
	reached := func(v *view) bool { return v.valid() && v.revision >= rev }
	if v := c.now(); v.err == nil && reached(v) {
		return Snapshot{view: v}, nil
	}
	c.waitFor(1)
	defer c.waitFor(-1)
	// A copy that was found to be wrong, or to be of another cluster, is being replaced. Wait for
	// the new copy, because the revision of the old one cannot be compared with rev.
	v, err := c.await(ctx, (*view).valid)
	if err == nil {
		c.reach(rev)
		v, err = c.await(ctx, reached)
	}
	if err != nil {
		return Snapshot{}, err
	}
	return Snapshot{view: v}, nil
}

// Close ends the cache, and waits until all of its goroutines have ended. Calls that are waiting
// return ErrClosed. Snapshot goes on returning the last state. Close always returns nil.
func (c *Cache) Close() error {
	c.watchers.close()
	c.end(ErrClosed)
	c.leave()
	c.tasks.Wait()
	return nil
}
