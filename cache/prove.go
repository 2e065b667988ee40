package cache

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
)

// prove moves the view on to a later revision without a notice of progress, for servers that send
// none or whose notices cannot be trusted. It reads, at some revision R, the number of keys in the
// range and the versions of the keys that have changed since a base view. A view between the base
// and R equals the range at R if it has the same number of keys, and these versions of these keys:
// no other key has changed. prove waits for such a view, or for one of revision R or higher.
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

// changedSince reads which keys have changed after a revision, without their values, and how many
// keys the range has.
func (c *Cache) changedSince(ctx context.Context, rev int64) (*clientv3.GetResponse, error) {
	return c.get(ctx, c.opts.from, clientv3.WithRange(c.opts.end),
		clientv3.WithKeysOnly(), clientv3.WithMinModRev(rev+1))
}

// confirm moves the view v on to the revision of header, if v is still the newest view. It returns
// false if there is a newer view, which has to be compared instead. If the range is to be listed
// anew, confirm does nothing and returns true.
func (c *Cache) confirm(v *view, header *pb.ResponseHeader) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list.wanted {
		return true // the list goes on
	}
	if c.now() != v {
		return v.err != nil
	}
	c.publishLocked(func(next *view) {
		next.revision = header.Revision
		next.confirmed = next.revision
	})
	return true
}
