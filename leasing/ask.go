package leasing

import (
	"context"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// maxAsked is how many owners one request asks.
const maxAsked = 32

// owners sorts the lease keys that a failed write has read. ours are the keys of orphaned lease
// keys, which are attached to this client's lease. others are the lease keys of other clients, by
// the index of w.leaseKeys.
func (wr *writer) owners(
	resp *clientv3.TxnResponse, w writes,
) (ours []string, others [][]*mvccpb.KeyValue) {
	seen := map[string]bool{}
	others = make([][]*mvccpb.KeyValue, len(w.keys)+len(w.ranges))
	for i := range others {
		leaseKeys, _ := txnanswer.Pairs(resp.Responses, i) // none if the answer lacks them
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

// asker asks other clients to release their keys.
type asker struct {
	// read-only
	kv      clientv3.KV
	watcher clientv3.Watcher
}

// release asks the owners of some lease keys in the range r to release them, and returns true when
// all of these lease keys are gone. It returns false if its watch ends first, as it does with ctx.
//
// It asks once the watch exists, so that the watch starts in the present: a server brings a watch
// that starts in the past up to date only ten times a second.
func (a *asker) release(
	ctx context.Context, r keyRange, leaseKeys []*mvccpb.KeyValue,
) (areGone bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := a.watcher.Watch(ctx, r.start, clientv3.WithRange(r.end), clientv3.WithFilterPut(),
		clientv3.WithCreatedNotify())
	if resp := <-events; !resp.Created {
		return false, nil
	}
	left := map[string]bool{}
	for batch := range slices.Chunk(leaseKeys, maxAsked) {
		if err := a.ask(ctx, batch, left); err != nil {
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

// ask writes revokeValue to lease keys, unless they have that value already. It adds the lease keys
// that still exist to left.
func (a *asker) ask(
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
	resp, err := a.kv.Txn(ctx).Then(ops...).Commit()
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
