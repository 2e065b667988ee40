package leasing

import (
	"context"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// release deletes the lease key of an ownership, if it is ours, and ends the ownership. It goes on
// until the lease key is certain not to be ours, or the epoch ends.
func (ow *owner) release(o *ownership) {
	defer ow.cache.end(o)
	for attempt := 0; !ow.tryRelease(o); attempt++ {
		if backoff.Wait(o.epoch.ctx, repeatBackoff.Delay(attempt)) != nil {
			return
		}
	}
}

// tryRelease reports whether the lease key of an ownership is certain not to be ours any more. The
// delete has the condition that the lease key has its create revision: if it is applied late, it
// does not delete the lease key of a later ownership.
func (ow *owner) tryRelease(o *ownership) bool {
	leaseKey, created := ow.leaseKeys.of(o.key), o.created
	ctx, cancel := context.WithTimeout(o.epoch.ctx, requestTimeout)
	defer cancel()
	if o.isUncertain {
		kv, _, err := ow.read(ctx, leaseKey)
		if err != nil {
			return false
		}
		created = o.epoch.createRevisionOf(kv)
	}
	if created == 0 {
		return true
	}
	_, err := ow.kv.Txn(ctx).If(createdAt(leaseKey, created)).Then(clientv3.OpDelete(leaseKey)).
		Commit()
	return err == nil
}

// releaseOrphan starts the release of a lease key that is ours and has no ownership. It returns the
// ownership that it adds for that, or the one that the key has after all; nil if the epoch has
// ended.
func (ow *owner) releaseOrphan(key string) *ownership {
	o, isNew := ow.cache.beginRelease(key)
	if isNew {
		// Ends when the lease key is gone, or with its epoch, which stop ends; stop waits.
		go func() {
			defer ow.cache.running.Done()
			ow.release(o)
		}()
	}
	return o
}

// releaseOrphans looks for orphaned lease keys, and starts their release, because another client
// may be waiting for them. They are lease keys of requests that failed and were applied all the
// same, and those that a lease had when it was given to NewKV.
func (ow *owner) releaseOrphans(e *epoch) {
	if !ow.cache.mustLookForOrphans() {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, requestTimeout)
	defer cancel()
	resp, err := ow.leases.TimeToLive(ctx, e.lease, clientv3.WithAttachedKeys())
	if err != nil {
		return // the next renewal calls it again
	}
	for _, leaseKey := range resp.Keys {
		if key, ok := strings.CutPrefix(string(leaseKey), string(ow.leaseKeys)); ok {
			ow.releaseOrphan(key) // unless it has an ownership
		}
	}
}
