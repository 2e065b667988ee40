package cache

import (
	"cmp"
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// now returns the newest view.
func (c *Cache) now() *view { return c.newest.Load() }

// await waits for a view for which ok returns true, and returns it. If the cache has ended, it
// returns the error of the cache. If ctx ends first, it returns an error that wraps that of ctx and
// says what the cache is waiting for.
func (c *Cache) await(ctx context.Context, ok func(*view) bool) (*view, error) {
	for {
		v := c.now()
		switch {
		case v.err != nil:
			return v, v.err
		case ok(v):
			return v, nil
		}
		select {
		case <-v.replaced:
		case <-ctx.Done():
			return v, fmt.Errorf("cache of %s at revision %d waits for %s: %w",
				&c.opts, v.revision, c.waitsFor(), ctx.Err())
		}
	}
}

// waitsFor says what the follower waits for.
func (c *Cache) waitsFor() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.phase, "a later revision, or a proof that there is none")
}

// wait records what the follower waits for.
func (c *Cache) wait(format string, args ...any) {
	phase := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = phase
}

// publish makes a copy of the newest view, has f change it, and makes it the newest one. Only the
// follower changes the tree, so it can prepare one without holding the lock. A proof may meanwhile
// move the view on to a later revision.
func (c *Cache) publish(f func(next *view)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishLocked(f)
}

func (c *Cache) publishLocked(f func(next *view)) {
	old := c.now()
	if old.err != nil {
		return
	}
	next := *old
	f(&next)
	if next.era != old.era { // what is known is of the era before
		c.proofs, c.known = nil, 0
	}
	if next.synced() {
		if until := c.proofs.reached(next.revision); until.After(next.provenAt) {
			next.provenAt = until
		}
	}
	next.replaced = make(chan struct{})
	c.known = max(c.known, next.revision)
	c.newest.Store(&next)
	close(old.replaced)
}

// end ends the cache with an error, unless it has ended.
func (c *Cache) end(err error) {
	c.publish(func(next *view) { next.err = err })
	c.cancel()
}

// fail ends the cache with an error, to which it adds the range of the cache.
func (c *Cache) fail(err error) { c.end(fmt.Errorf("cache of %s: %w", &c.opts, err)) }

// proven takes the answer to a question: a linearizable read that was sent at sentAt, when before
// was the newest view. The answer proves a view when it reaches the header's revision. proven
// returns false if the answer shows that the cluster was replaced or restored, or if the cache is
// finding that out: then the answer proves nothing, and the question must be asked again. All
// proofs are forgotten when an era ends, so who waits for one must look at the era of the views.
func (c *Cache) proven(header *pb.ResponseHeader, sentAt time.Time, before *view) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sameEraLocked(header, before) {
		return false
	}
	v := c.now()
	p := proof{revision: header.GetRevision(), sentAt: sentAt}
	switch {
	case !v.synced() || p.revision > v.revision:
		c.proofs.add(p)
	case sentAt.After(v.provenAt):
		c.publishLocked(func(next *view) { next.provenAt = sentAt })
	}
	return true
}

// sameEra takes the header of a linearizable answer to a request that was sent when
// before was the newest view. It returns false if the answer shows that the cluster was replaced or
// restored, or if the cache is finding that out or has found it out since before: then the era of
// before ends, or has ended. Otherwise the revision of the answer is known to exist.
func (c *Cache) sameEra(header *pb.ResponseHeader, before *view) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sameEraLocked(header, before)
}

func (c *Cache) sameEraLocked(header *pb.ResponseHeader, before *view) bool {
	v := c.now()
	switch {
	case before.era != v.era || c.list.replaced:
	case otherCluster(v.origin, header):
		c.startOverLocked("the cluster was replaced", true)
	case header.GetRevision() < before.revision:
		c.startOverLocked(errWentBack.Error(), true)
	default:
		c.learnLocked(header.GetRevision())
		return true
	}
	return false
}

// otherCluster reports whether a header has another cluster id than o. Without an id on both sides
// it returns false.
func otherCluster(o origin, header *pb.ResponseHeader) bool {
	return o.clusterID != 0 && header.GetClusterId() != 0 && o.clusterID != header.GetClusterId()
}

// listing says whether the follower has to list the range, and why.
type listing struct {
	wanted   bool   // the range must be listed
	replaced bool   // the list begins a new era
	begun    bool   // the list is under way
	why      string // for the log
}

// startOver has the range listed anew, for the reason given. A list that is under way is given up.
// Readers go on seeing the old view until the new list is complete.
func (c *Cache) startOver(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startOverLocked(why, false)
}

// startOverLocked is startOver. If the cluster was replaced or restored, the list begins a new era.
func (c *Cache) startOverLocked(why string, replaced bool) {
	if replaced && c.list.replaced && !c.list.begun {
		return
	}
	c.list = listing{wanted: true, replaced: replaced || c.list.replaced, why: why}
	if c.interrupt != nil {
		c.interrupt()
	}
}
