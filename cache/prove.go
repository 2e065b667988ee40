package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// proveWait is how long Cache.prove waits for the watch to bring the changes that Cache.prove has
// read.
const proveWait = 5 * time.Second

// stalledFor is how long the watch may bring nothing, although reads show that it lacks changes.
// Then the cache opens the watch again. If that does not help, the cache waits longer, and then
// reads the whole range again. It waits still longer before it repeats that.
var stalledFor = backoff.Policy{Base: 20 * time.Second, Max: 10 * time.Minute}

// errStalled is the reason why the cache opens its watch again although the server has not ended
// the watch: reads show changes whose events the watch does not bring.
var errStalled = errors.New("the watch does not bring the changes that a read has shown")

// prove moves the newest view on to a later revision without a notice of watch progress. It is for
// servers that send no notices, or that may send them before older events.
//
// prove reads, at some revision R, how many keys the range has, and which keys have changed since
// the newest view. Then it waits for a view with this number of keys, and with the changed keys at
// the mod revisions that were read. All other keys are unchanged, so such a view equals the range
// at R. prove sets the revision of the view to R. It also returns when the watch itself has brought
// a view of revision R or higher.
//
// prove returns an error that wraps errStalled if the watch has not brought what was read within
// proveWait.
func (c *Cache) prove(timeout time.Duration) error {
	base := c.now()
	reading, stop := context.WithTimeout(c.ctx, timeout)
	resp, err := c.changedSince(reading, base.revision)
	stop()
	switch {
	case isRefusal(err):
		c.fail(err)
		return err
	case err != nil:
		return err
	case !c.sameEra(resp.Header, base):
		return errListAgain
	}
	ctx, cancel := context.WithTimeout(c.ctx, proveWait)
	defer cancel()
	for {
		v, err := c.await(ctx, func(v *view) bool {
			return v.era != base.era || v.revision >= resp.Header.Revision ||
				fill.Unchanged(v.tree, resp.Kvs, resp.Count)
		})
		switch {
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("%w: %w", errStalled, err)
		case err != nil || v.era != base.era || v.revision >= resp.Header.Revision:
			return err
		}
		if c.confirm(v, resp.Header) {
			return nil
		}
	}
}

// changedSince reads the keys that have changed after the revision rev, without their values, and
// how many keys the range has.
func (c *Cache) changedSince(ctx context.Context, rev int64) (*clientv3.GetResponse, error) {
	return c.get(ctx, c.opts.from, clientv3.WithRange(c.opts.end),
		clientv3.WithKeysOnly(), clientv3.WithMinModRev(rev+1))
}

// confirm sets the revision of the view v to that of header, if v is still the newest view.
// Otherwise it returns false, and the caller must compare the newer view with what was read. If the
// whole range is to be read again, confirm changes nothing and returns true.
func (c *Cache) confirm(v *view, header *pb.ResponseHeader) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list.wanted {
		return true // the new list replaces the view
	}
	if c.now() != v {
		return false
	}
	c.publishLocked(func(next *view) {
		next.revision = header.Revision
		next.confirmed = next.revision
	})
	return true
}

// stall records for how long the watch has brought nothing although reads show that it lacks
// changes. The reason may be a stream that is stuck although its connection and its member are
// well, or an event that a member has lost. Only the goroutine that requests progress uses stall.
type stall struct {
	// since is when the stall was found, or when Cache.proved last reopened the watch or demanded
	// another list (read of the whole range). It is zero if there is no stall.
	since  time.Time
	logged int64 // view.logged when the watch was first found stalled
	steps  int   // how often Cache.proved has reopened the watch or demanded another list
	slow   int   // how many reads of Cache.prove have timed out
}

// proved takes the result of prove. If the watch has been stalled for long, proved makes the cache
// open the watch again. If that does not help, proved demands another list (read of the whole
// range).
func (c *Cache) proved(err error) {
	s, now, logged := &c.stall, time.Now(), c.now().logged
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errStalled) {
		s.slow++
		return
	}
	switch {
	case err == nil, c.listing():
		*s = stall{slow: s.slow}
	case !errors.Is(err, errStalled):
	case s.since.IsZero() || logged != s.logged:
		*s = stall{since: now, logged: logged, slow: s.slow}
	case now.Sub(s.since) < stalledFor.Delay(s.steps):
	case s.steps == 0:
		s.steps, s.since = 1, now
		c.reopen(errStalled)
	default:
		s.steps, s.since = s.steps+1, now
		c.startOver(errStalled.Error())
	}
}
