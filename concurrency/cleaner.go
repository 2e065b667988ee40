package concurrency

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/keystate"
)

// cleaner deletes one key if its state says so, and watches the key while there are puts of it with
// an unknown outcome. A key has a cleaner as long as its state is dirty.
type cleaner struct {
	s    *session
	key  string
	wake chan struct{} // has a token if the state has changed
}

// run cleans up until nothing is left to do, until the server denies the key to the client, or
// until ctx ends.
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

// clean deletes what has to be deleted, and reads the key to find out what uncertain puts have
// made. It returns the Change to wait for, or nil if nothing is left to do.
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

// duties returns the version that has to be deleted, or nil. dirty is false if there is nothing
// else to do either; then the key has no cleaner any more.
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

// look reads the key, records it in the key's state, and returns the revision of the store.
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

// changed waits for an event of the key from the revision since on, or for a change of the key's
// state, and returns true then. It returns false if the watch ends before.
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

// goBackground runs f on a goroutine of its own; f must end with the session. It returns false, and
// does nothing, once the session is closed.
func (s *session) goBackground(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goLocked(f)
}

func (s *session) goLocked(f func()) bool {
	if s.closed {
		return false
	}
	// Ends with the session's context or that of clean-up. Close ends both, and waits.
	s.background.Go(f)
	return true
}

// cleanUpLocked returns the context of clean-up. The context ends when the session is closed, when
// the client is closed, and a TTL after the session has ended otherwise: by then the lease has
// expired, unless another session keeps it alive.
func (s *session) cleanUpLocked() context.Context {
	if s.cleanUpCtx != nil {
		return s.cleanUpCtx
	}
	ctx, cancel := context.WithCancel(s.base)
	dropClient := context.AfterFunc(s.client.Ctx(), cancel)
	dropSession := context.AfterFunc(s.ctx, func() { time.AfterFunc(s.ttl, cancel) })
	context.AfterFunc(ctx, func() { dropClient(); dropSession() })
	s.cleanUpCtx, s.stopCleanUp = ctx, cancel
	return ctx
}

// stop ends clean-up, and makes goBackground do nothing from then on.
func (s *session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.stopCleanUp != nil {
		s.stopCleanUp()
	}
}
