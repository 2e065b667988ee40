package leasing

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// owner acquires the keys that this client reads, keeps them until another client asks for them,
// and releases them. It acquires a key by putting the key's lease key, by which other clients see
// that the key has an owner. It records each step in the cache.
type owner struct {
	// read-only after NewKV
	kv        clientv3.KV
	watcher   clientv3.Watcher
	leases    clientv3.Lease
	leaseKeys leasePrefix
	cache     *cache
}

// acquire starts to acquire a key, and returns the ownership of the key. It blocks until a request
// has ended that puts the key's lease key, by which other clients see that the key has an owner.
// acquire returns nil if the key must not be acquired. If ctx ends before the request, it returns
// the error of ctx.
func (ow *owner) acquire(ctx context.Context, key string) (*ownership, error) {
	o := ow.cache.begin(key)
	if o == nil {
		return nil, nil
	}
	// The goroutine ends when the lease key is released, or when the session ends. leasingKV.stop
	// ends the session and waits for the goroutine.
	go func() {
		defer ow.cache.running.Done()
		ow.request(o)
		ow.keep(o)
		ow.release(o)
	}()
	return o, wait(ctx, o.settled)
}

// request sends the transaction by which this client becomes the owner of a key. It records the
// result in the cache. The transaction puts the key's lease key on two conditions:
//
//   - The lease key does not exist. Otherwise the key has an owner.
//   - The key is not attached to a lease. Otherwise the server may delete the key without asking
//     the owner.
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
	found, _ := txnanswer.Range(resp.Responses, 0) // the answer to the get; nil if it is missing
	read := newCachedKey(found, rev)
	switch {
	case resp.Succeeded && read.isLasting():
		ow.cache.acquired(o, rev, read)
	case resp.Succeeded:
		// The response is malformed: it has no answer to the get, or the key that was read is
		// attached to a lease.
		ow.cache.notAcquired(o, rev, false, read)
	default:
		ow.cache.notAcquired(o, o.epoch.createRevisionOf(firstIn(resp, 1)), false, read)
	}
}

// keep watches the lease key of an ownership, and starts the release of the ownership when one is
// needed. A release is needed if another client asks for the lease key, if the lease key is gone,
// or if the server refuses to let this client read it. keep returns when the release has started or
// the session has ended.
func (ow *owner) keep(o *ownership) {
	defer ow.cache.startRelease(o)
	leaseKey, next, isOver := ow.leaseKeys.of(o.key), o.created+1, false
	changed := func(ctx context.Context) bool {
		var err error
		o.isAskedFor, err = ow.watch(ctx, leaseKey, next)
		isOver = o.isAskedFor || classify.IsRefusal(err) && !errors.Is(err, rpctypes.ErrCompacted)
		return isOver
	}
	_ = await.Loop(o.ctx, changed, func(ctx context.Context) (await.Change, error) {
		if isOver {
			return nil, nil
		}
		now, rev, err := ow.read(ctx, leaseKey)
		if err != nil {
			return nil, err
		}
		o.isAskedFor = string(now.GetValue()) == revokeValue
		if now.GetCreateRevision() != o.created || o.isAskedFor {
			return nil, nil
		}
		next = rev + 1
		return changed, nil
	}, classify.IsRefusal)
}

// watch watches a lease key from the revision rev on. It blocks until another client asks for the
// lease key or the lease key is gone, and then returns true. If the watch ends first, it returns
// false and the reason. The watch requires a leader, because a member without a leader does not
// learn of writes.
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

// read returns the lease key, or nil if it does not exist, and the revision of the store.
func (ow *owner) read(ctx context.Context, leaseKey string) (*mvccpb.KeyValue, int64, error) {
	resp, err := ow.kv.Get(ctx, leaseKey)
	if err != nil {
		return nil, 0, err
	}
	return first(resp.Kvs), resp.Header.GetRevision(), nil
}

// release deletes the lease key of an ownership and ends the ownership. It repeats the delete until
// the lease key is certainly not this client's, or until the session ends.
func (ow *owner) release(o *ownership) {
	defer ow.cache.end(o)
	_ = await.Loop(o.epoch.ctx, nil, func(ctx context.Context) (await.Change, error) {
		return nil, ow.tryRelease(ctx, o)
	}, nil)
}

// tryRelease deletes the lease key of an ownership. It returns nil if the lease key certainly is
// not this client's afterwards. The create revision of the lease key is a condition of the delete.
// So a delete that is applied late does not hit the lease key of a later ownership.
func (ow *owner) tryRelease(ctx context.Context, o *ownership) error {
	leaseKey, created := ow.leaseKeys.of(o.key), o.created
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if o.isUncertain {
		kv, _, err := ow.read(ctx, leaseKey)
		if err != nil {
			return err
		}
		created = o.epoch.createRevisionOf(kv)
	}
	if created == 0 {
		return nil
	}
	_, err := ow.kv.Txn(ctx).If(createdAt(leaseKey, created)).Then(clientv3.OpDelete(leaseKey)).
		Commit()
	return err
}

// releaseOrphan starts to delete an orphaned lease key, and returns a channel that is closed when
// that is done. A lease key is orphaned if it is attached to the session's lease, but the cache has
// no ownership of its key.
//
// If the cache has an ownership of the key by now, releaseOrphan starts nothing. The channel is
// then closed when that ownership leaves its state. The channel is nil if the session has ended.
func (ow *owner) releaseOrphan(key string) (change <-chan struct{}) {
	added, change := ow.cache.beginRelease(key)
	if added != nil {
		// The goroutine ends when the lease key is gone, or when the session ends. leasingKV.stop
		// ends the session and waits for the goroutine.
		go func() {
			defer ow.cache.running.Done()
			ow.release(added)
		}()
	}
	return change
}

// releaseOrphans looks for orphans and starts their release, because other clients may be waiting
// for them. An orphan is a lease key that is attached to the session's lease, but not recorded in
// the cache. If the cache knows that there are no orphans, releaseOrphans sends no request.
func (ow *owner) releaseOrphans(e *epoch) {
	if !ow.cache.mustLookForOrphans() {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, requestTimeout)
	defer cancel()
	resp, err := ow.leases.TimeToLive(ctx, e.lease, clientv3.WithAttachedKeys())
	if err != nil {
		return // releaseOrphans is called again after the next renewal
	}
	for _, leaseKey := range resp.Keys {
		if key, ok := strings.CutPrefix(string(leaseKey), string(ow.leaseKeys)); ok {
			ow.releaseOrphan(key) // does nothing if the key has an ownership
		}
	}
}

// requestTimeout limits each attempt of a request that the KV makes by itself, without a caller's
// context. So a member that does not answer delays such a request for no longer than this.
const requestTimeout = 2 * time.Second

// createdAt returns the condition that a key was created at the revision rev. If rev is 0, the
// condition is that the key does not exist.
func createdAt(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", rev)
}

// firstIn returns the first key-value pair that operation i of a transaction has read. It returns
// nil if the operation has read no pair, or if the response is malformed.
func firstIn(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	kvs, _ := txnanswer.Pairs(resp.Responses, i)
	return first(kvs)
}

func first(kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	if len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// wait blocks until ch is closed or ctx ends. It returns nil if ch is closed, and otherwise the
// error of ctx.
func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
