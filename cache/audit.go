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
	// auditTimeout bounds the count of a range.
	auditTimeout = time.Minute
	// auditTries is how often an audit asks again, each time at a newer revision, because the
	// revision that it asked for was compacted.
	auditTries = 5
)

// auditNowAndThen compares the copy with the server as long as the cache lives, about once in each
// interval of WithAudit. The waits vary in length, so that many caches do not ask at once.
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

// auditOnce compares the number of keys in the copy with that on the server at the same revision.
// If they differ, or if the server does not know the revision, the range is listed anew. It does
// nothing while the range has not been read or is being listed. If the revision was compacted, it
// tries again with a later one.
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
		// Everything up to the copy's revision was compacted. A later view is as good.
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
	if !c.proven(resp.Header, sentAt, v) || resp.Count == int64(v.tree.Len()) {
		return nil
	}
	c.counts.differences.Add(1)
	c.replaced(v, fmt.Sprintf("the copy has %d keys at revision %d, and the server %d",
		v.tree.Len(), v.revision, resp.Count))
	return nil
}

// listing reports whether the range is to be listed.
func (c *Cache) listing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list.wanted
}

// replaced begins a new era: the range is listed, and until that is done no answer proves a view.
// It does nothing if a new era has begun since the view v.
func (c *Cache) replaced(v *view, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().era == v.era {
		c.startOverLocked(why, true)
	}
}
