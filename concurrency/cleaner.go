package concurrency

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/keystate"
)

// cleaner deletes what has to be deleted of one key, and watches the key while there are puts with
// an unknown outcome. It is at work as long as the state of the key is dirty.
type cleaner struct {
	s    *session
	key  string
	wake chan struct{} // has a token if there is something new to do
}

// wakeUp never blocks: one token is enough.
func (c *cleaner) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run returns when there is nothing left to do, when the key is denied to the client, and when ctx
// ends.
func (c *cleaner) run(ctx context.Context) {
	err := await.Loop(ctx, nil, c.clean, func(err error) bool {
		return ctx.Err() != nil ||
			classify.IsHalt(ctx, err) && classify.IsRefusal(err) // a busy server is no reason
	})
	if err != nil {
		c.s.note(c.key, func(k *key) {
			k.GiveUp()
			k.cleaner = nil
		})
	}
}

// clean deletes what has to be deleted, and looks for what uncertain puts have made. It returns no
// Change if nothing is left to do, and then the cleaner of the key is no longer at work.
func (c *cleaner) clean(ctx context.Context) (await.Change, error) {
	for rev := int64(0); ; {
		v, dirty := c.duties()
		switch {
		case !dirty:
			return nil, nil
		case v != nil:
			if err := c.s.deleteVersion(ctx, c.key, *v); err != nil {
				return nil, err
			}
		case rev != 0:
			return func(ctx context.Context) bool { return c.changed(ctx, rev+1) }, nil
		default:
			var err error
			if rev, err = c.look(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// duties returns what has to be deleted, if anything, and whether there is anything to do. If there
// is not, the cleaner is off duty.
func (c *cleaner) duties() (v *keystate.Version, dirty bool) {
	c.s.note(c.key, func(k *key) {
		if in := k.ToDelete(); in != nil {
			found := in.Version
			v = &found
		}
		if dirty = k.Dirty(); !dirty {
			k.cleaner = nil
		}
	})
	return v, dirty
}

// look reads the key, and returns the revision that it has read.
func (c *cleaner) look(ctx context.Context) (rev int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := c.s.client.Get(ctx, c.key)
	if err != nil {
		return 0, err
	}
	c.s.note(c.key, func(k *key) {
		k.SawNone()
		for _, kv := range resp.Kvs {
			if kv.GetLease() == int64(c.s.lease) {
				k.Saw(c.s.versionOf(kv), string(kv.GetValue()))
			}
		}
	})
	return max(resp.Header.GetRevision(), 1), nil
}

// changed waits for a change of the key since a revision, or of what there is to do.
func (c *cleaner) changed(ctx context.Context, since int64) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := c.s.client.Watch(ctx, c.key, clientv3.WithRev(since))
	for {
		select {
		case resp, open := <-events:
			if len(resp.Events) > 0 {
				return true
			}
			if !open || resp.Err() != nil {
				return false
			}
		case <-c.wake:
			return true
		}
	}
}
