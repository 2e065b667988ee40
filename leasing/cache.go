package leasing

import (
	"context"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// cache holds the ownerships and answers gets from them. It is a state machine: it starts no
// goroutine, makes no request, and nothing waits under its mutex. The package documentation has
// the states and the invariants.
type cache struct {
	// read-only after newCache
	leaseKeys leasePrefix

	// own synchronisation
	latest latestHeader
	// running counts the goroutines of ownerships; they are added with mu held, in an epoch only.
	running sync.WaitGroup

	// guarded by mu
	mu         sync.RWMutex
	epoch      *epoch // nil between sessions
	ownerships map[string]*ownership
	cooldowns  cooldowns
	blocked    map[*[]keyRange]bool // ranges of lease keys that must not be acquired
	// mayHaveOrphans says that there may be lease keys of the epoch without an ownership, now or
	// later in the epoch.
	mayHaveOrphans bool
}

func newCache(leaseKeys leasePrefix) *cache {
	return &cache{leaseKeys: leaseKeys, ownerships: map[string]*ownership{},
		cooldowns: newCooldowns(), blocked: map[*[]keyRange]bool{}}
}

// get answers a get from the cache, or returns a nil response. If the key is being acquired it
// also returns that ownership, which is worth waiting for.
func (c *cache) get(key string, op *clientv3.Op) (*clientv3.GetResponse, *ownership) {
	c.mu.RLock()
	o := c.ownerships[key]
	if o == nil {
		c.mu.RUnlock()
		return nil, nil
	}
	cached, isPending := o.usable(), o.state == acquiring
	// The clock is read last: at that moment, and so at any revision seen before, the cached key
	// is what the server has. A revision seen later may be that of another client's write.
	latest := c.latest.get()
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

// begin adds an ownership that is acquiring its key; the caller starts its goroutine. It returns
// nil if the key must not be acquired: between epochs, if the key has an ownership, during its
// cooldown, and while a range that it is in is being written.
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

// beginRelease adds an ownership that is releasing an orphaned lease key; the caller starts its
// goroutine. If the key has an ownership, which then knows the lease key, it returns that one and
// isNew is false. Between epochs it returns nil.
func (c *cache) beginRelease(key string) (o *ownership, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.ownerships[key]; o != nil {
		return o, false
	}
	if o = c.addLocked(key, releasing); o == nil {
		return nil, false
	}
	o.isUncertain = true
	close(o.settled)
	return o, true
}

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

// acquired settles an ownership as owned. created is the create revision of the lease key, read the
// key.
func (c *cache) acquired(o *ownership, created int64, read *cachedKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(o.settled)
	o.created, o.read = created, read
	if c.ownerships[o.key] == o {
		o.state, o.cached = owned, read
	}
}

// notAcquired settles an ownership as releasing. created is not 0 if the lease key is ours all the
// same. If it is uncertain whether it is ours, it may also become ours late.
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

// startRelease starts the release of an ownership, unless it has started.
func (c *cache) startRelease(o *ownership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.startRelease()
}

// end removes an ownership whose lease key is certain not to be ours, and starts the cooldown of
// its key.
func (c *cache) end(o *ownership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(o)
	c.cooldowns.start(o.key)
}

func (c *cache) removeLocked(o *ownership) {
	if c.ownerships[o.key] != o {
		return
	}
	o.state = releasing
	o.stop()
	delete(c.ownerships, o.key)
	close(o.ended)
}

// change returns the channel that is closed with the next change of an ownership that is acquiring
// or releasing.
func (c *cache) change(o *ownership) <-chan struct{} {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return o.change()
}

// startEpoch lets keys be acquired.
func (c *cache) startEpoch(e *epoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch, c.mayHaveOrphans = e, e.isGiven
}

// endEpoch removes all ownerships: the server deletes their lease keys with the lease.
func (c *cache) endEpoch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch = nil
	for _, o := range c.ownerships {
		c.removeLocked(o)
	}
}

// mustLookForOrphans reports whether there may be lease keys of this KV without an ownership.
func (c *cache) mustLookForOrphans() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mayHaveOrphans
}

// isOurs reports whether a lease key is attached to the lease of the epoch.
func (c *cache) isOurs(leaseKey *mvccpb.KeyValue) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.epoch != nil && c.epoch.createRevisionOf(leaseKey) != 0
}
