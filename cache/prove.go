package cache

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
)

// prove moves the newest view on to a later revision without a notice of watch progress. It is for
// servers that send no notices, or that may send them before older events. It takes a base view,
// and reads, at some revision R, how many keys the range has and which keys have changed since the
// base view. All other keys are unchanged since the base view. So a view equals the range at R if
// it is not older than the base view, has as many keys as the range, and has the changed keys with
// the mod revisions that were read. prove waits until there is such a view, and then sets its
// revision to R. It also returns when the watch itself has brought a view of revision R or higher.
func (c *Cache) prove() error {
	ctx, cancel := context.WithTimeout(c.ctx, questionTimeout)
	defer cancel()
	base := c.now()
	resp, err := c.changedSince(ctx, base.revision)
	switch {
	case isRefusal(err):
		c.fail(err)
		return err
	case err != nil:
		return err
	case !c.sameEra(resp.Header, base):
		return errListAgain
	}
	for {
		v, err := c.await(ctx, func(v *view) bool {
			return v.era != base.era || v.revision >= resp.Header.Revision ||
				fill.Unchanged(v.tree, resp.Kvs, resp.Count)
		})
		if err != nil || v.era != base.era || v.revision >= resp.Header.Revision {
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

// confirm sets the revision of the view v to that of header, if v is still the newest view. It
// returns false if there is a newer view, which the caller then has to compare instead. If the
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
