package leasing

import (
	"context"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

const (
	// maxReadBack is the largest number of owned keys that a write reads again, to keep them
	// cached. If a write changes more keys that this client owns, the client releases the others.
	maxReadBack = 32
	// maxLeaseKeys is the largest number of lease keys that one request reads in each range.
	maxLeaseKeys = 1000
	// maxImmediateRetries limits how many times a write is tried again at once. Such a retry is
	// sent when the owners of the keys have released them. Later retries wait for some time first.
	maxImmediateRetries = 16
	// maxAsked is the largest number of owners that one request asks to release their keys.
	maxAsked = 32
)

// writer runs operations that write. Before it runs an operation, it waits until no other client
// owns a key that the operation may write. The embedded owner releases lease keys of this client
// that the cache does not know.
type writer struct{ *owner }

// write waits until no other client owns a key that op may write, and then runs op. The parameter w
// holds the keys and ranges that op may write. The result is the response to the transaction whose
// first operation is op.
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

// tryWrite runs an operation if no other client owns a key that the operation may write. Otherwise
// it writes nothing, and Succeeded is false. The response then holds the lease keys that exist for
// the operation's keys. A lease key shows that a client owns the key.
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

// conditions returns the conditions for a write. They are on the lease keys of the written keys,
// because a lease key exists while a client owns the key:
//
//   - This client owns the key: the lease key must have the create revision that it had when this
//     client put it. Otherwise the server has deleted it meanwhile, and the cached key may be
//     stale.
//   - This client does not own the key: the lease key must not exist.
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

// readBack returns gets of the written keys that this client owns, so that they stay cached. The
// gets also read the values, because servers leave out the lease of a key that is read without its
// value. The lease is needed: a key with a lease must not be cached.
func readBack(own []*ownership) []clientv3.Op {
	var gets []clientv3.Op
	for _, o := range own[:min(len(own), maxReadBack)] {
		gets = append(gets, clientv3.OpGet(o.key))
	}
	return gets
}

// outcome returns the owned keys as they are after a write, for endWrite. An element is nil if the
// state of its key is unknown, or if the key cannot be cached. The whole result is nil if nothing
// was written.
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
		read, _ := txnanswer.Range(resp.Responses, i+1) // nil if the response is malformed
		if k := newCachedKey(read, resp.Header.GetRevision()); k.isLasting() {
			now[i] = k
		}
	}
	return now
}

// releaseLost starts the release of each ownership in own whose lease key was lost. A lost lease
// key is gone, or was deleted and created again. resp is the response to a write that was not
// applied. It holds the lease keys that exist.
func (wr *writer) releaseLost(own []*ownership, w writes, resp *clientv3.TxnResponse) {
	for _, o := range own {
		i, _ := slices.BinarySearch(w.keys, o.key)
		if firstIn(resp, i).GetCreateRevision() != o.created {
			wr.cache.startRelease(o)
		}
	}
}

// waitForOwners asks the owners of keys to release them, and blocks until they have done so. resp
// is the response to a write that was not applied because of these owners. waitForOwners returns
// false if it could not wait for all of them, or if there are none.
func (wr *writer) waitForOwners(
	ctx context.Context, resp *clientv3.TxnResponse, w writes,
) (areReleased bool, err error) {
	ours, others := wr.owners(resp, w)
	for _, key := range ours {
		change := wr.releaseOrphan(key)
		if change == nil {
			continue
		}
		areReleased = true
		if err := wait(ctx, change); err != nil {
			return false, err
		}
	}
	isLost := false
	for i, r := range w.leaseKeys(wr.leaseKeys) {
		if len(others[i]) == 0 {
			continue
		}
		areGone, err := wr.askToRelease(ctx, r, others[i])
		if err != nil {
			return false, err
		}
		areReleased, isLost = true, isLost || !areGone
	}
	return areReleased && !isLost, ctx.Err()
}

// owners separates this client's lease keys from those of other clients. resp is the response to a
// write that was not applied because keys have owners. Each of its parts has some of the lease
// keys. ours has the keys whose lease keys are attached to this client's own lease. others[i] has
// the lease keys of other clients in part i.
func (wr *writer) owners(
	resp *clientv3.TxnResponse, w writes,
) (ours []string, others [][]*mvccpb.KeyValue) {
	seen := map[string]bool{}
	others = make([][]*mvccpb.KeyValue, len(w.keys)+len(w.ranges))
	for i := range others {
		leaseKeys, _ := txnanswer.Pairs(resp.Responses, i) // empty if the response is malformed
		for _, leaseKey := range leaseKeys {
			key := string(leaseKey.GetKey())
			switch {
			case seen[key]:
			case wr.cache.isOurs(leaseKey):
				ours = append(ours, strings.TrimPrefix(key, string(wr.leaseKeys)))
			default:
				others[i] = append(others[i], leaseKey)
			}
			seen[key] = true
		}
	}
	return ours, others
}

// askToRelease asks the owners of leaseKeys to release them. It blocks until all of these lease
// keys are deleted, and returns true. It sees the deletes in a watch of the range r, which contains
// the lease keys. If the watch is lost or ctx ends, askToRelease returns false or an error.
//
// The watch starts before the owners are asked, so that it needs no start revision and misses no
// delete. A later watch would need an older start revision, for which a server delays the first
// events by up to 100 ms.
func (wr *writer) askToRelease(
	ctx context.Context, r keyRange, leaseKeys []*mvccpb.KeyValue,
) (areGone bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := wr.watcher.Watch(ctx, r.start, clientv3.WithRange(r.end), clientv3.WithFilterPut(),
		clientv3.WithCreatedNotify())
	if resp := <-events; !resp.Created {
		return false, nil
	}
	left := map[string]bool{}
	for batch := range slices.Chunk(leaseKeys, maxAsked) {
		if err := wr.ask(ctx, batch, left); err != nil {
			return false, err
		}
	}
	for len(left) > 0 {
		resp, ok := <-events
		if !ok {
			return false, nil
		}
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypeDelete {
				delete(left, string(ev.Kv.GetKey()))
			}
		}
	}
	return true, nil
}

// ask asks the owners of lease keys to release them, by writing revokeValue into the lease keys. It
// skips a lease key that has this value already or does not exist any more. It sets left[name] for
// each lease key that still exists.
func (wr *writer) ask(
	ctx context.Context, leaseKeys []*mvccpb.KeyValue, left map[string]bool,
) error {
	var ops []clientv3.Op
	for _, kv := range leaseKeys {
		key := string(kv.GetKey())
		isUnasked := []clientv3.Cmp{clientv3.Compare(clientv3.Value(key), "!=", revokeValue)}
		put := []clientv3.Op{clientv3.OpPut(key, revokeValue, clientv3.WithIgnoreLease())}
		exists := []clientv3.Cmp{createdAt(key, kv.GetCreateRevision())}
		ops = append(ops, clientv3.OpTxn(exists,
			[]clientv3.Op{clientv3.OpTxn(isUnasked, put, nil)}, nil))
	}
	resp, err := wr.kv.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return err
	}
	for i, kv := range leaseKeys {
		if txn, _ := txnanswer.Txn(resp.Responses, i); txn.GetSucceeded() {
			left[string(kv.GetKey())] = true
		}
	}
	return nil
}
