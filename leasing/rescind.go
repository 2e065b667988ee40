package leasing

import (
	"context"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// leaveLost makes those tenancies leave whose lease keys are not among the claims
// that a failed write has found.
func (l *leasing) leaveLost(own []*tenancy, w writes, resp *clientv3.TxnResponse) {
	for _, t := range own {
		i, _ := slices.BinarySearch(w.keys, t.key)
		if firstIn(resp, i).GetCreateRevision() != t.created {
			l.table.leave(t)
		}
	}
}

// clear has those give up their keys who own what a failed write wanted to write,
// and blocks until they have. It returns false where some could not be waited for,
// or nobody had to be.
func (l *leasing) clear(
	ctx context.Context, resp *clientv3.TxnResponse, w writes,
) (cleared bool, err error) {
	ours, others := l.owners(resp, w)
	for _, key := range ours {
		t := l.evictStray(key)
		if t == nil {
			continue
		}
		cleared = true
		if err := wait(ctx, l.table.change(t)); err != nil {
			return false, err
		}
	}
	lost := false
	for i, leaseKeys := range others {
		if len(leaseKeys) == 0 {
			continue
		}
		gone, err := l.rescind(ctx, w.leaseKeys(l.prefix, i), leaseKeys)
		if err != nil {
			return false, err
		}
		cleared, lost = true, lost || !gone
	}
	return cleared && !lost, ctx.Err()
}

// owners sorts the claims that a failed write has found into keys that are ours, and
// the lease keys of others, for each claim.
func (l *leasing) owners(
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
			case l.table.isOurs(leaseKey):
				ours = append(ours, strings.TrimPrefix(key, l.prefix))
			default:
				others[i] = append(others[i], leaseKey)
			}
			seen[key] = true
		}
	}
	return ours, others
}

// rescind asks the owners of some lease keys in a range to give them up, and blocks
// until all have. It returns false where the watch ends first, as it does with ctx.
//
// The watch is there before anybody is asked, so that it starts with the present: a
// server brings those that start with the past up to date ten times a second only.
func (l *leasing) rescind(
	ctx context.Context, r keyRange, leaseKeys []*mvccpb.KeyValue,
) (gone bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := l.watcher.Watch(ctx, r.start, clientv3.WithRange(r.end), clientv3.WithFilterPut(),
		clientv3.WithCreatedNotify())
	if resp := <-events; !resp.Created {
		return false, nil
	}
	left := map[string]bool{}
	for batch := range slices.Chunk(leaseKeys, maxBatch) {
		if err := l.askOwners(ctx, batch, left); err != nil {
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

// askOwners asks the owners of lease keys to give them up, unless somebody has, and adds
// the keys to left that are there still.
func (l *leasing) askOwners(
	ctx context.Context, leaseKeys []*mvccpb.KeyValue, left map[string]bool,
) error {
	var ops []clientv3.Op
	for _, kv := range leaseKeys {
		key := string(kv.GetKey())
		unasked := []clientv3.Cmp{clientv3.Compare(clientv3.Value(key), "!=", rescindValue)}
		put := []clientv3.Op{clientv3.OpPut(key, rescindValue, clientv3.WithIgnoreLease())}
		there := []clientv3.Cmp{exists(key, kv.GetCreateRevision())}
		ops = append(ops, clientv3.OpTxn(there, []clientv3.Op{clientv3.OpTxn(unasked, put, nil)},
			nil))
	}
	resp, err := l.kv.Txn(ctx).Then(ops...).Commit()
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
