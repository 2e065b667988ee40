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

// await waits until ok returns true for the newest view, and returns that view. If the cache has
// ended, await returns the error that the cache has ended with. If ctx ends first, it returns an
// error that wraps the error of ctx and says what the cache is waiting for.
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

// waitsFor returns, in words, what the cache is waiting for.
func (c *Cache) waitsFor() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.phase, "a later revision, or a proof that there is none")
}

// wait records, in words, what the follow goroutine waits for. An empty text means that it follows
// its watch without interruption.
func (c *Cache) wait(format string, args ...any) {
	phase := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = phase
}

// publish copies the newest view, calls f to change the copy, and makes the copy the newest view.
// It does nothing if the cache has ended.
//
// Only the follow goroutine publishes a new tree, so it can build the tree before it takes the
// lock. In the meantime, Cache.prove may set the revision of the newest view to a later one: see
// follower.publish.
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
	// A new era means that the copy has been replaced. c.proofs and c.known were made from answers
	// of the server that say nothing about the new copy.
	if next.era != old.era {
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

// end ends the cache with the error err. If the cache has already ended, its first error stays.
func (c *Cache) end(err error) {
	c.publish(func(next *view) { next.err = err })
	c.cancel()
}

// fail ends the cache with the error err, to which it adds the range of the cache.
func (c *Cache) fail(err error) { c.end(fmt.Errorf("cache of %s: %w", &c.opts, err)) }

// proven takes the answer to a question (a linearizable read). The question was sent at sentAt,
// when the newest view was the one in before. Every write acknowledged before sentAt has at most
// the revision of the answer. So a view that has reached this revision contains these writes. If
// the newest view has reached it, proven raises the provenAt of that view to sentAt. Otherwise
// proven records a proof, to be used for the first view that reaches the revision.
//
// proven returns false if the answer proves nothing, so that the question must be asked again:
//
//   - The answer shows that the cluster was replaced or restored.
//   - The copy was replaced after the question was sent, or has to be replaced.
//
// When the copy is replaced, a new era begins, and all recorded proofs are dropped. So a caller
// that waits for a proven view must also stop waiting when the era has changed.
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

// sameEra checks the answer to a linearizable request. It takes the header of the answer, and the
// view that was the newest one when the request was sent. Normally it records that the revision of
// the answer exists, and returns true. It returns false in these cases:
//
//   - The answer shows that the cluster was replaced or restored. sameEra then makes the cache read
//     the range again.
//   - The copy was replaced after the request was sent, or it is known that it has to be.
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

// otherCluster reports whether a response header has another cluster id than o. It returns false if
// either cluster id is missing.
func otherCluster(o origin, header *pb.ResponseHeader) bool {
	return o.clusterID != 0 && header.GetClusterId() != 0 && o.clusterID != header.GetClusterId()
}

// listing says whether, and why, the follow goroutine has to list the range: to read all of it
// again.
type listing struct {
	wanted bool // the range must be listed
	// replaced says that the list begins a new era (see view.era), because the cluster was replaced
	// or restored or because the copy was wrong. Earlier answers of the server then prove nothing
	// about the new copy.
	replaced bool
	begun    bool   // the list is under way
	why      string // the reason, for the log line; empty for the first list
}

// startOver makes the cache read the whole range again, and logs the reason given in why. It gives
// up such a read that is under way. Readers see the old view until the new read is complete.
func (c *Cache) startOver(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startOverLocked(why, false)
}

// startOverLocked is startOver for a caller that holds mu. If replaced is true, the new read begins
// a new era (see view.era): the cluster was replaced or restored, or the copy was wrong. If such a
// read is already demanded and has not begun, startOverLocked does nothing.
func (c *Cache) startOverLocked(why string, replaced bool) {
	if replaced && c.list.replaced && !c.list.begun {
		return
	}
	c.list = listing{wanted: true, replaced: replaced || c.list.replaced, why: why}
	if replaced {
		c.doubtLocked()
	}
	if c.interrupt != nil {
		c.interrupt(errListAgain)
	}
}

// doubtLocked marks the newest view as doubted: the copy is wrong, or comes from a cluster that was
// replaced or restored. No answer of the server proves how fresh such a view is. The caller holds
// mu.
func (c *Cache) doubtLocked() {
	if v := c.now(); v.synced() && !v.doubted {
		c.proofs = nil
		c.publishLocked(func(next *view) { next.doubted, next.provenAt = true, time.Time{} })
	}
}

// reopen ends the watch with the parameter why as its error. The follow goroutine then opens the
// watch again, after the last revision that the watch has delivered.
func (c *Cache) reopen(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupt != nil {
		c.interrupt(why)
	}
}
