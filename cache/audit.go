package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	// auditTimeout is the timeout of the request that counts the keys of the range on the server.
	auditTimeout = time.Minute
	// auditTries is how often an audit is repeated at most. If the server has compacted the
	// revision at which an audit should count the keys, the audit is repeated at a newer revision.
	auditTries = 5
)

// auditNowAndThen audits the copy until the cache ends, about once in each interval of WithAudit.
// An audit compares the number of keys in the copy with the number on the server. Each wait is
// shortened by a random part, so that many caches do not send their audits at once.
func (c *Cache) auditNowAndThen() {
	if c.opts.audit == 0 {
		return
	}
	for {
		interval := c.opts.audit - time.Duration(rand.Float64()*float64(c.opts.audit)/4)
		timer := time.NewTimer(interval)
		select {
		case <-c.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := c.auditOnce(); err != nil {
			c.log.Info("the audit of a cache failed",
				zap.Stringer("range", &c.opts), zap.Error(err))
		}
	}
}

// auditOnce compares the number of keys in the copy with the number on the server at the same
// revision. If the numbers differ, or if the server has not reached that revision, the whole range
// is read again. If the server has compacted the revision, auditOnce tries again with a later one.
// It does nothing while the range is being read.
func (c *Cache) auditOnce() error {
	for try := 0; ; try++ {
		v := c.now()
		if !v.synced() || c.listing() {
			return nil
		}
		err := c.auditView(v)
		switch {
		case isRefusal(err):
			c.fail(err)
			return nil
		case errors.Is(err, rpctypes.ErrFutureRev):
			c.replaced(v, errWentBack.Error())
			return nil
		case !errors.Is(err, rpctypes.ErrCompacted) || try == auditTries:
			return err
		}
		// The server has compacted the copy's revision. Wait for a later view, to audit that one.
		c.reach(v.revision + 1)
		ctx, cancel := context.WithTimeout(c.ctx, time.Second)
		_, _ = c.await(ctx, func(next *view) bool { return next.revision > v.revision })
		cancel()
	}
}

func (c *Cache) auditView(v *view) error {
	ctx, cancel := context.WithTimeout(c.ctx, auditTimeout)
	defer cancel()
	sentAt := time.Now()
	resp, err := c.get(ctx, c.opts.from, clientv3.WithRange(c.opts.end),
		clientv3.WithCountOnly(), clientv3.WithRev(v.revision))
	if err != nil {
		return err
	}
	c.counts.audits.Add(1)
	if !c.proven(resp.Header, sentAt, v) {
		return nil
	}
	if resp.Count == int64(v.tree.Len()) {
		// If no key changes and no reader needs a later revision, the copy stays at its revision.
		// The server may then compact that revision, so that the watch cannot be opened again from
		// there. advance requests a notice of progress, which raises the revision.
		c.advance()
		return nil
	}
	c.counts.differences.Add(1)
	c.replaced(v, fmt.Sprintf("the copy has %d keys at revision %d, and the server %d",
		v.tree.Len(), v.revision, resp.Count))
	return nil
}

// listing reports whether the whole range is being read, or is about to be.
func (c *Cache) listing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list.wanted
}

// replaced makes the cache read the whole range again. The reason is that the view v is wrong, or
// comes from a cluster that was replaced or restored. The read begins a new era (see view.era).
// Until it is complete, no answer of the server proves how fresh a view is. replaced does nothing
// if the newest view is already of a later era than v.
func (c *Cache) replaced(v *view, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().era == v.era {
		c.startOverLocked(why, true)
	}
}
