package cache

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
)

// prove does what a notice of progress does, for a server that does not answer or cannot be
// trusted: it moves the view on to a later revision. A read, of revision R, of the keys that have
// changed since a view, and of the number of keys, says what the range is at R: a later view whose
// revision is not above R has that state if it has as many keys and each of those that have
// changed, because the others are in both unchanged. prove waits until there is such a view, or one
// of revision R or higher.
func (c *Cache) prove() error {
	ctx, cancel := context.WithTimeout(c.ctx, questionTimeout)
	defer cancel()
	base := c.now()
	resp, err := c.client.Get(ctx, c.opts.from, clientv3.WithRange(c.opts.end),
		clientv3.WithKeysOnly(), clientv3.WithMinModRev(base.revision+1))
	switch {
	case isRefusal(err):
		c.end(fmt.Errorf("cache of %s: %w", &c.opts, err))
		return err
	case err != nil:
		return err
	}
	for {
		v, err := c.await(ctx, func(v *view) bool {
			return v.era != base.era || v.revision >= resp.Header.Revision || matches(v, base, resp)
		})
		if err != nil || v.era != base.era || v.revision >= resp.Header.Revision {
			return err
		}
		if c.confirm(v, resp.Header) {
			return nil
		}
	}
}

// matches reports whether a view shows the state that an answer of prove describes.
func matches(v, base *view, resp *clientv3.GetResponse) bool {
	if int64(v.tree.Len()) != resp.Count {
		return false
	}
	for _, changed := range resp.Kvs {
		if changed.ModRevision <= base.revision {
			continue // the server does not know the bound
		}
		kv, _ := v.tree.Get(fill.Key(changed.Key))
		if kv.GetModRevision() != changed.ModRevision {
			return false
		}
	}
	return true
}

// confirm moves the view v on to the revision of a header, if it is still the newest one. It
// returns false if it is not.
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
