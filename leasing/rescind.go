package leasing

import (
	"context"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// leaveLost makes those tenancies leave whose lease keys are not among the claims
// that a failed write has found.
func (l *leasing) leaveLost(own []*tenancy, w writes, resp *clientv3.TxnResponse) {
	for _, t := range own {
		i, _ := slices.BinarySearch(w.keys, t.key)
		if first(rangeIn(resp, i)).GetCreateRevision() != t.created {
			l.table.leave(t)
		}
	}
}

// clear has those give up their keys who own what a failed write wanted to write,
// and blocks until they have. It returns false where some could not be waited for,
// or nobody had to be.
func (l *leasing) clear(ctx context.Context, resp *clientv3.TxnResponse, w writes) (cleared bool, err error) {
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
	for batch := range slices.Chunk(others, maxBatch) {
		if err := l.rescind(ctx, batch); err != nil {
			return false, err
		}
	}
	cleared = cleared || len(others) > 0
	for _, leaseKey := range others {
		cleared = l.waitGone(ctx, leaseKey, resp.Header.GetRevision()+1) && cleared
	}
	return cleared, ctx.Err()
}

// owners sorts the claims that a failed write has found into keys that are ours, and
// the lease keys of others.
func (l *leasing) owners(resp *clientv3.TxnResponse, w writes) (ours []string, others []*mvccpb.KeyValue) {
	seen := map[string]bool{}
	for i := range len(w.keys) + len(w.ranges) {
		for _, leaseKey := range rangeIn(resp, i).GetKvs() {
			key := string(leaseKey.GetKey())
			switch {
			case seen[key]:
			case l.table.isOurs(leaseKey):
				ours = append(ours, strings.TrimPrefix(key, l.prefix))
			default:
				others = append(others, leaseKey)
			}
			seen[key] = true
		}
	}
	return ours, others
}

// rescind asks the owners of lease keys to give them up, unless somebody has.
func (l *leasing) rescind(ctx context.Context, leaseKeys []*mvccpb.KeyValue) error {
	var ops []clientv3.Op
	for _, kv := range leaseKeys {
		key := string(kv.GetKey())
		owned := []clientv3.Cmp{exists(key, kv.GetCreateRevision()), clientv3.Compare(clientv3.Value(key), "!=", rescindValue)}
		ask := []clientv3.Op{clientv3.OpPut(key, rescindValue, clientv3.WithIgnoreLease())}
		ops = append(ops, clientv3.OpTxn(owned, ask, nil))
	}
	_, err := l.kv.Txn(ctx).Then(ops...).Commit()
	return err
}

// waitGone blocks until a lease key is gone that was there before revision rev, and
// reports whether it is. It is not where the watch ends first, as it does with ctx.
func (l *leasing) waitGone(ctx context.Context, leaseKey *mvccpb.KeyValue, rev int64) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range l.watcher.Watch(ctx, string(leaseKey.GetKey()), clientv3.WithRev(rev)) {
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypeDelete || ev.Kv.GetCreateRevision() != leaseKey.GetCreateRevision() {
				return true
			}
		}
	}
	return false
}
