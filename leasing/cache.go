package leasing

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// cache holds the ownerships of a KV, and answers gets from them. An ownership is the record of one
// key that this client is acquiring, owns, or is releasing. The cache is a state machine: it starts
// no goroutine, makes no request, and does not block while it holds its mutex. The package
// documentation has the states and the invariants.
type cache struct {
	// read-only after newCache
	leaseKeys leasePrefix

	// safe for concurrent use without mu, except as noted
	latest latestHeader
	// running counts the goroutines of ownerships. It is incremented only with mu held and while
	// epoch is not nil. So no goroutine starts after endEpoch.
	running sync.WaitGroup

	// guarded by mu
	mu         sync.RWMutex
	epoch      *epoch // the time in which the current session lives; nil between sessions
	ownerships map[string]*ownership
	cooldowns  cooldowns
	// blocked holds ranges of lease keys. A key whose lease key is in one of these ranges is not
	// acquired, because a write of a range that contains the key is running or waits.
	blocked map[*[]keyRange]bool
	// mayHaveOrphans says that orphans may be attached to the session's lease. An orphan is a lease
	// key that no ownership records. While an orphan exists, other clients cannot write the key
	// that the orphan protects.
	mayHaveOrphans bool
}

func newCache(leaseKeys leasePrefix) *cache {
	return &cache{leaseKeys: leaseKeys, ownerships: map[string]*ownership{},
		cooldowns: cooldowns{ends: map[string]time.Time{}},
		blocked:   map[*[]keyRange]bool{}}
}

// get returns the response to a get, or nil if the cache has no answer. While the key is being
// acquired, get returns the key's ownership instead. The caller can then wait for the end of the
// acquisition, which also reads the key. op is nil for a get without options.
func (c *cache) get(key string, op *clientv3.Op) (*clientv3.GetResponse, *ownership) {
	c.mu.RLock()
	o := c.ownerships[key]
	if o == nil {
		c.mu.RUnlock()
		return nil, nil
	}
	cached, isPending := o.usable(), o.state == acquiring
	// Load the header with the latest revision before isCertain reads the clock. If the lease is
	// certain to live at that time, no other client has written the key until then. So the server
	// had the key as cached at the header's revision. A header that is loaded later may come from
	// after such a write.
	latest := c.latest.Load()
	isAnswer := cached != nil && o.epoch.isCertain()
	c.mu.RUnlock()
	switch {
	case isAnswer:
		return cached.response(latest, max(latest.GetRevision(), cached.rev), op), nil
	case isPending:
		return nil, o
	}
	return nil, nil
}

// begin adds an ownership in the state "acquiring", and returns it. The caller starts the
// ownership's goroutine. begin returns nil if the key must not be acquired:
//
//   - There is no session.
//   - The key has an ownership or a cooldown.
//   - The key's lease key is in a blocked range, because a write of a range that contains the key
//     is running or waits.
func (c *cache) begin(key string) *ownership {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ranges := range c.blocked {
		if contain(*ranges, c.leaseKeys.of(key)) {
			return nil
		}
	}
	if c.cooldowns.isActive(key) {
		return nil
	}
	return c.addLocked(key, acquiring)
}

// beginRelease adds an ownership in the state "releasing" for an orphan, and returns it as added.
// An orphan is a lease key that is attached to the session's lease, but that no ownership records.
// The caller starts the goroutine that deletes the lease key.
//
// If the key already has an ownership, added is nil. The channel change is closed when the key's
// ownership leaves its state. While there is no session, both results are nil.
func (c *cache) beginRelease(key string) (added *ownership, change <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.ownerships[key]; o != nil {
		return nil, o.change()
	}
	o := c.addLocked(key, releasing)
	if o == nil {
		return nil, nil
	}
	o.isUncertain = true
	close(o.settled)
	return o, o.change()
}

// addLocked adds an ownership of a key in the state s and returns it. It returns nil while there is
// no session, and if the key has an ownership already.
func (c *cache) addLocked(key string, s state) *ownership {
	if c.epoch == nil || c.ownerships[key] != nil {
		return nil
	}
	o := &ownership{key: key, epoch: c.epoch, state: s, settled: make(chan struct{}),
		ended: make(chan struct{})}
	o.ctx, o.stop = context.WithCancel(c.epoch.ctx)
	c.ownerships[key] = o
	c.running.Add(1)
	return o
}

// acquired records that the lease key of an ownership was put, at the create revision created. If
// the session still lives, the ownership gets the state "owned". read is the program's key (not the
// lease key), which the same request has read.
func (c *cache) acquired(o *ownership, created int64, read *cachedKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(o.settled)
	o.created, o.read = created, read
	if c.ownerships[o.key] == o {
		o.state, o.cached = owned, read
	}
}

// notAcquired moves an ownership from the state "acquiring" to the state "releasing". It is called
// if the key cannot be owned, for example because the request that puts the lease key has failed.
//
//   - created is the lease key's create revision if the response shows that this client has put the
//     lease key. Otherwise it is 0.
//   - isUncertain is set if the request may have put the lease key, or may still put it.
//   - read is the program's key (not the lease key), or nil if the request has not read it.
func (c *cache) notAcquired(o *ownership, created int64, isUncertain bool, read *cachedKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(o.settled)
	o.created, o.isUncertain, o.read, o.state = created, isUncertain, read, releasing
	if isUncertain && c.epoch == o.epoch {
		c.mayHaveOrphans = true
	}
	o.stop()
}

func (c *cache) startRelease(o *ownership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.startRelease()
}

// end removes an ownership and starts a cooldown, in which the key is not acquired again. Call end
// only if the lease key certainly is not this client's any more, or if the session of the ownership
// has ended.
func (c *cache) end(o *ownership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(o)
	c.cooldowns.start(o.key, o.isAskedFor)
}

// removeLocked removes an ownership and ends its context. It does nothing if the ownership was
// removed before.
func (c *cache) removeLocked(o *ownership) {
	if c.ownerships[o.key] != o {
		return
	}
	o.state = releasing
	o.stop()
	delete(c.ownerships, o.key)
	close(o.ended)
}

// startEpoch begins the epoch e, the time in which a new session lives. Keys can be acquired until
// endEpoch is called.
func (c *cache) startEpoch(e *epoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch, c.mayHaveOrphans = e, e.isGiven
}

// endEpoch ends the epoch, the time in which the session lives, and removes all ownerships. It is
// called when the session has ended or is about to end. The server deletes the lease keys of the
// ownerships together with the session's lease.
func (c *cache) endEpoch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch = nil
	for _, o := range c.ownerships {
		c.removeLocked(o)
	}
}

// mustLookForOrphans reports whether lease keys that have no ownership may be attached to the
// session's lease.
func (c *cache) mustLookForOrphans() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mayHaveOrphans
}

// isOurs reports whether a lease key is attached to the lease of the current session.
func (c *cache) isOurs(leaseKey *mvccpb.KeyValue) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.epoch != nil && c.epoch.createRevisionOf(leaseKey) != 0
}

// block forbids the cache to acquire keys whose lease keys are in the ranges, until unblock is
// called. Otherwise readers could acquire keys of a range all the time. A write of the range might
// then never find a moment in which no key of the range has an owner.
func (c *cache) block(ranges []keyRange) (unblock func()) {
	if len(ranges) == 0 {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked[&ranges] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.blocked, &ranges)
	}
}

// beginWrite begins a write of the keys in w.keys, and of all keys whose lease keys are in
// w.ranges. It returns as own the ownerships of the keys in w.keys. Until endWrite is called, the
// cache does not answer gets of keys that are in w.keys.
//
// If the write has to wait, beginWrite does not begin it, and returns channels that the caller
// waits for:
//
//   - There is one channel for each key in w.keys that is being acquired or released.
//   - There is one for each ownership whose lease key is in w.ranges. A range is written only while
//     no key in it has an owner, so beginWrite starts the release of these ownerships.
func (c *cache) beginWrite(w writes) (own []*ownership, changes []<-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(w.ranges) > 0 {
		for key, o := range c.ownerships {
			if contain(w.ranges, c.leaseKeys.of(key)) {
				o.startRelease()
				changes = append(changes, o.change())
			}
		}
	}
	for _, key := range w.keys {
		o := c.ownerships[key]
		switch {
		case o == nil:
		case o.state != owned:
			changes = append(changes, o.change())
		default:
			own = append(own, o)
		}
	}
	if len(changes) > 0 {
		return nil, changes
	}
	for _, o := range own {
		o.writes++
	}
	return own, nil
}

// endWrite ends a write that beginWrite has begun. own has the ownerships that beginWrite has
// returned, and now[i] is the key of own[i] after the write. If the state of that key is unknown or
// cannot be cached, now[i] is nil, and endWrite starts the release of own[i]. If nothing was
// written, now itself is nil.
func (c *cache) endWrite(own []*ownership, now []*cachedKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, o := range own {
		o.writes--
		switch {
		case now == nil || o.state != owned:
		case now[i] == nil:
			o.startRelease()
		case now[i].rev > o.cached.rev: // the response to a later write may have come first
			o.cached = now[i]
		}
	}
}
