package leasing

import (
	"context"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

const (
	// maxReadBack is how many of the keys that this client owns a write reads back. The others are
	// released.
	maxReadBack = 32
	// maxLeaseKeys is how many lease keys of a range one request reads.
	maxLeaseKeys = 1000
	// maxImmediateRetries is how many times a write is tried again without a wait, each time after
	// all owners have released their keys.
	maxImmediateRetries = 16
)

// writer runs operations that write, once no other client owns a key that they may write.
type writer struct {
	// read-only
	kv        clientv3.KV
	leaseKeys leasePrefix
	cache     *cache
	owner     *owner
	asker     *asker
}

// write runs an operation that writes w. It returns the response to the transaction whose first
// operation is op.
func (wr *writer) write(
	ctx context.Context, op clientv3.Op, w writes,
) (*clientv3.TxnResponse, error) {
	defer wr.cache.block(w.ranges)()
	for attempt, waits := 0, 0; ; attempt++ {
		resp, err := wr.tryWrite(ctx, op, w)
		switch {
		case err != nil:
			return nil, err
		case resp.Succeeded:
			return resp, nil
		}
		areReleased, err := wr.waitForOwners(ctx, resp, w)
		if err == nil && (!areReleased || attempt >= maxImmediateRetries) {
			err = backoff.Wait(ctx, await.Retry.Delay(waits))
			waits++
		}
		if err != nil {
			return nil, err
		}
	}
}

// tryWrite runs an operation on the condition that no other client owns a key that it may write. If
// one does, nothing is written, Succeeded is false, and the responses are the lease keys that
// exist, for each of w.leaseKeys.
func (wr *writer) tryWrite(
	ctx context.Context, op clientv3.Op, w writes,
) (*clientv3.TxnResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	own, changes := wr.cache.beginWrite(w)
	for len(changes) > 0 {
		for _, change := range changes {
			if err := wait(ctx, change); err != nil {
				return nil, err
			}
		}
		own, changes = wr.cache.beginWrite(w)
	}
	resp, err := wr.kv.Txn(ctx).
		If(wr.conditions(w, own)...).
		Then(append([]clientv3.Op{op}, readBack(own)...)...).
		Else(wr.readLeaseKeys(w)...).
		Commit()
	wr.cache.endWrite(own, wr.outcome(own, resp, err))
	if err == nil && !resp.Succeeded {
		wr.releaseLost(own, w, resp)
	}
	return resp, err
}

// conditions returns the conditions that no other client owns a written key. The lease key of a key
// that this client owns must still have its create revision: otherwise the cached key may be stale,
// and a request that is applied after the ownership has ended must not write.
func (wr *writer) conditions(w writes, own []*ownership) []clientv3.Cmp {
	created := make(map[string]int64, len(own))
	for _, o := range own {
		created[o.key] = o.created
	}
	cmps := make([]clientv3.Cmp, 0, len(w.keys)+len(w.ranges))
	for _, key := range w.keys {
		cmps = append(cmps, createdAt(wr.leaseKeys.of(key), created[key]))
	}
	for _, r := range w.ranges {
		cmps = append(cmps, createdAt(r.start, 0).WithRange(r.end))
	}
	return cmps
}

func (wr *writer) readLeaseKeys(w writes) []clientv3.Op {
	var gets []clientv3.Op
	for _, r := range w.leaseKeys(wr.leaseKeys) {
		gets = append(gets, clientv3.OpGet(r.start, clientv3.WithRange(r.end),
			clientv3.WithLimit(maxLeaseKeys)))
	}
	return gets
}

// readBack returns gets of the keys that this client owns. They read the values too, because
// servers leave out the lease of a key that is read without its value.
func readBack(own []*ownership) []clientv3.Op {
	var gets []clientv3.Op
	for _, o := range own[:min(len(own), maxReadBack)] {
		gets = append(gets, clientv3.OpGet(o.key))
	}
	return gets
}

// outcome returns the keys that this client owns as they are after a write, for endWrite.
func (wr *writer) outcome(
	own []*ownership, resp *clientv3.TxnResponse, err error,
) []*cachedKey {
	switch {
	case err != nil && classify.IsRefusal(err), err == nil && !resp.Succeeded:
		return nil
	case err != nil:
		return make([]*cachedKey, len(own))
	}
	wr.cache.latest.saw(resp.Header)
	now := make([]*cachedKey, len(own))
	for i := range own {
		read, _ := txnanswer.Range(resp.Responses, i+1) // nil if the answer lacks it
		if k := newCachedKey(read, resp.Header.GetRevision()); k.isLasting() {
			now[i] = k
		}
	}
	return now
}

// releaseLost starts the release of each ownership whose lease key is not among those that a failed
// write has read.
func (wr *writer) releaseLost(own []*ownership, w writes, resp *clientv3.TxnResponse) {
	for _, o := range own {
		i, _ := slices.BinarySearch(w.keys, o.key)
		if firstIn(resp, i).GetCreateRevision() != o.created {
			wr.cache.startRelease(o)
		}
	}
}

// waitForOwners asks the owners of the keys that a failed write may write to release them, and
// blocks until they have. It returns false if it could not wait for all of them, or found none.
func (wr *writer) waitForOwners(
	ctx context.Context, resp *clientv3.TxnResponse, w writes,
) (areReleased bool, err error) {
	ours, others := wr.owners(resp, w)
	for _, key := range ours {
		o := wr.owner.releaseOrphan(key)
		if o == nil {
			continue
		}
		areReleased = true
		if err := wait(ctx, wr.cache.change(o)); err != nil {
			return false, err
		}
	}
	isLost := false
	for i, r := range w.leaseKeys(wr.leaseKeys) {
		if len(others[i]) == 0 {
			continue
		}
		areGone, err := wr.asker.release(ctx, r, others[i])
		if err != nil {
			return false, err
		}
		areReleased, isLost = true, isLost || !areGone
	}
	return areReleased && !isLost, ctx.Err()
}
