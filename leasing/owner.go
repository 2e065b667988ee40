package leasing

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// owner acquires lease keys, keeps them until another client asks for them, and releases them. It
// records in the cache what it owns.
type owner struct {
	// read-only
	kv        clientv3.KV
	watcher   clientv3.Watcher
	leases    clientv3.Lease
	leaseKeys leasePrefix
	cache     *cache
}

// acquire starts an ownership of a key and blocks until it is settled. It returns nil if the key
// must not be acquired.
func (ow *owner) acquire(ctx context.Context, key string) (*ownership, error) {
	o := ow.cache.begin(key)
	if o == nil {
		return nil, nil
	}
	// Ends when the lease key is released, or with its epoch, which stop ends; stop waits.
	go func() {
		defer ow.cache.running.Done()
		ow.request(o)
		ow.keep(o)
		ow.release(o)
	}()
	return o, wait(ctx, o.settled)
}

// request asks the server for the lease key of a new ownership. It is not granted if another client
// owns the key, or if the key is attached to a lease, because the server may then delete the key.
func (ow *owner) request(o *ownership) {
	leaseKey := ow.leaseKeys.of(o.key)
	ctx, cancel := context.WithTimeout(o.epoch.ctx, requestTimeout)
	defer cancel()
	resp, err := ow.kv.Txn(ctx).
		If(createdAt(leaseKey, 0), clientv3.Compare(clientv3.LeaseValue(o.key), "=", 0)).
		Then(clientv3.OpGet(o.key), clientv3.OpPut(leaseKey, "",
			clientv3.WithLease(o.epoch.lease))).
		Else(clientv3.OpGet(o.key), clientv3.OpGet(leaseKey)).
		Commit()
	if err != nil {
		ow.cache.notAcquired(o, 0, !classify.IsRefusal(err), nil)
		return
	}
	ow.cache.latest.saw(resp.Header)
	rev := resp.Header.GetRevision()
	found, _ := txnanswer.Range(resp.Responses, 0) // nil if the answer lacks it
	read := newCachedKey(found, rev)
	switch {
	case resp.Succeeded && read.isLasting():
		ow.cache.acquired(o, rev, read)
	case resp.Succeeded: // the answer does not fit the request
		ow.cache.notAcquired(o, rev, false, read)
	default:
		ow.cache.notAcquired(o, o.epoch.createRevisionOf(firstIn(resp, 1)), false, read)
	}
}

// keep blocks while a key is owned: until the lease key is asked for or gone, the release starts,
// the epoch ends, or the server refuses the watch of the lease key.
func (ow *owner) keep(o *ownership) {
	defer ow.cache.startRelease(o)
	leaseKey := ow.leaseKeys.of(o.key)
	next := o.created + 1
	for attempt := 0; o.ctx.Err() == nil; attempt++ {
		isAskedFor, err := ow.watch(o.ctx, leaseKey, next)
		isCompacted := errors.Is(err, rpctypes.ErrCompacted)
		if isAskedFor || !isCompacted && classify.IsRefusal(err) ||
			backoff.Wait(o.ctx, repeatBackoff.Delay(attempt)) != nil {
			return
		}
		if !isCompacted {
			continue // no event was missed, so the watch goes on from the same revision
		}
		now, rev, err := ow.read(o.ctx, leaseKey)
		switch {
		case classify.IsRefusal(err):
			return
		case err != nil:
		case now.GetCreateRevision() != o.created || string(now.GetValue()) == revokeValue:
			return
		default:
			next = rev + 1
		}
	}
}

// watch blocks until a lease key is asked for or gone, and then returns true. If the watch ends
// before, it returns why. The watch requires a leader: a member without one does not learn of
// writes.
func (ow *owner) watch(
	ctx context.Context, leaseKey string, rev int64,
) (isAskedFor bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range ow.watcher.Watch(ctx, leaseKey, clientv3.WithRev(rev)) {
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypeDelete || string(ev.Kv.GetValue()) == revokeValue {
				return true, nil
			}
		}
		err = resp.Err()
	}
	return false, err
}

// read returns a lease key, nil if it does not exist, and the revision at which that was so.
func (ow *owner) read(ctx context.Context, leaseKey string) (*mvccpb.KeyValue, int64, error) {
	resp, err := ow.kv.Get(ctx, leaseKey)
	if err != nil {
		return nil, 0, err
	}
	return first(resp.Kvs), resp.Header.GetRevision(), nil
}
