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
	client   *clientv3.Client
	opts     options
	log      *zap.Logger
	ctx      context.Context // ends with Close, with the client, and when the cache ends by itself
	cancel   context.CancelFunc
	watchCtx context.Context // descends from ctx; its metadata gives the cache a stream of its own
	ask      chan struct{}   // has room for one: the asker has something to do
	answered chan struct{}   // has room for one: a notice of progress has arrived

	newest   atomic.Pointer[view] // replaced under mu
	history  *history             // the log; it gets an entry before a view that has it
	eager    atomic.Bool          // the next question goes out with a request for progress
	counts   counts
	missed   atomic.Pointer[time.Time] // when a Watch last gave up waiting for a proof
	watchers watcherSet
	tasks    sync.WaitGroup // the goroutines of the cache
	asker    *asker         // asks the questions of all caches of the client
	leave    func()         // leaves the asker; a second call does nothing

	mu         sync.Mutex
	phase      string             // what the follower waits for
	proofs     proofs             // those that no view has reached
	list       listing            // whether the follower has to list the range
	interrupt  context.CancelFunc // ends the follower's watch; nil if it has none
	target     int64              // the revision that views are to reach, by asking for progress
	listTarget int64              // what the watch must pass for the list to be whole; or 0
	waiters    int                // calls that wait for a revision that may not exist yet
	once       bool               // progress is asked for once, whatever the revision
	known      int64              // the greatest revision that is known to exist
	silence    silence            // of the server that is asked for progress

	behindSince time.Time // since when the newest view has been below known
}

// counts are for Status.
type counts struct {
	questions, shared          atomic.Int64
	lists, audits, differences atomic.Int64
	pages                      atomic.Int64 // of all lists
}

// streams counts the caches that were made, for the metadata of their watch streams.
var streams atomic.Int64

// streamKey is the key of the metadata that gives the watch of each cache a stream of its own. A
// server answers a request for progress for all watches of a stream.
const streamKey = "etcd-cache-stream"

// New starts a cache of all keys that begin with prefix, or of the range given by WithRange. It
// waits for nothing; WaitSynced waits until the range is read. It returns an error if an option is
// invalid or the client is nil. The cache reads and watches through the KV and the Watcher that c
// embeds, and ends when c is closed. Close it to free it.
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

// WaitSynced waits until the range has been read, and returns nil then. It returns an error if the
// cache ends, or if ctx ends first: then that of ctx with what the cache is waiting for.
func (c *Cache) WaitSynced(ctx context.Context) error {
	_, err := c.await(ctx, (*view).synced)
	return err
}

// Snapshot returns the newest state. It sends no request and takes no lock. Before the range has
// been read, the snapshot is empty and its Revision is 0.
func (c *Cache) Snapshot() Snapshot { return Snapshot{view: c.now()} }

// AtLeast waits until the cache has reached the revision rev, and returns the state then. So it
// contains the write that returned rev, if the write is in the range. It returns an error if the
// cache ends, or if ctx ends first: then that of ctx with what the cache is waiting for. The same
// revision on two caches gives states that both contain everything up to it.
func (c *Cache) AtLeast(ctx context.Context, rev int64) (Snapshot, error) {
	reached := func(v *view) bool { return v.synced() && v.revision >= rev }
	if v := c.now(); v.err == nil && reached(v) {
		return Snapshot{view: v}, nil
	}
	c.waitFor(1)
	defer c.waitFor(-1)
	c.reach(rev)
	v, err := c.await(ctx, reached)
	if err != nil {
		return Snapshot{}, err
	}
	return Snapshot{view: v}, nil
}

// Close ends the cache and waits until nothing of it is left running. Calls that wait return
// ErrClosed; Snapshot goes on returning the last state. It always returns nil.
func (c *Cache) Close() error {
	c.watchers.close()
	c.end(ErrClosed)
	c.leave()
	c.tasks.Wait()
	return nil
}
