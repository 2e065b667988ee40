package leasing

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// recall answers a transaction from memory: one whose conditions are on keys that are
// held, and choose a branch of nothing but gets of such keys. The other branch may
// be anything that servers accept. It returns nil for all others.
//
// All that it looks at is so at one moment, when the clock is read, and so at any
// revision seen before.
func (tb *table) recall(op clientv3.Op) *clientv3.TxnResponse {
	cmps, branch, other := op.Txn()
	tb.mu.RLock()
	defer tb.mu.RUnlock()
	latest, rev, succeeded := tb.latest.get(), int64(0), true
	if tb.term == nil || latest == nil {
		return nil
	}
	for i := range cmps {
		c := cmps[i].GetCompare()
		k := tb.heldLocked(c.Key, c.RangeEnd)
		if k == nil || !isKnown(c) {
			return nil
		}
		rev, succeeded = max(rev, k.rev), succeeded && k.holds(c)
	}
	if !succeeded {
		branch, other = other, branch
	}
	if !areSound(other, map[string]bool{}) {
		return nil
	}
	found := make([]*kept, len(branch))
	for i := range branch {
		get := &branch[i]
		if !get.IsGet() || !isCacheable(tb.prefix, get) {
			return nil
		}
		if found[i] = tb.heldLocked(get.KeyBytes(), nil); found[i] == nil {
			return nil
		}
		rev = max(rev, found[i].rev)
	}
	if !tb.term.isCertain() {
		return nil
	}
	return answers(latest, max(rev, latest.GetRevision()), succeeded, branch, found)
}

// areSound reports whether servers are certain to accept ops that are not carried out:
// their keys are not empty, and none is written twice, which written is for.
func areSound(ops []clientv3.Op, written map[string]bool) bool {
	for i := range ops {
		op, key := &ops[i], string(ops[i].KeyBytes())
		switch {
		case op.IsTxn():
			cmps, thenOps, elseOps := op.Txn()
			hasNoKey := func(c clientv3.Cmp) bool { return len(c.KeyBytes()) == 0 }
			if slices.ContainsFunc(cmps, hasNoKey) || !areSound(thenOps, written) ||
				!areSound(elseOps, written) {
				return false
			}
		case key == "" || !op.IsSortOptionValid():
			return false
		case op.IsPut() || op.IsDelete() && len(op.RangeBytes()) == 0:
			if written[key] {
				return false
			}
			written[key] = true
		case !op.IsGet():
			return false
		}
	}
	return true
}

// heldLocked returns what is kept of a single key, nil if it cannot be relied upon.
// That the term is certain is left to the caller to find out.
func (tb *table) heldLocked(key, end []byte) *kept {
	t := tb.tenancies[string(key)]
	if t == nil || len(end) > 0 || t.state != held || t.writes > 0 {
		return nil
	}
	return t.kept
}

// answers makes a response of what was found for each get of a branch. Its parts have
// revisions and nothing else in their headers, as those of servers.
func answers(
	latest *pb.ResponseHeader, rev int64, succeeded bool, branch []clientv3.Op, found []*kept,
) *clientv3.TxnResponse {
	resp := &clientv3.TxnResponse{Header: headerAt(latest, rev), Succeeded: succeeded}
	for i, k := range found {
		get := (*pb.RangeResponse)(k.response(nil, rev, &branch[i]))
		resp.Responses = append(resp.Responses,
			&pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: get}})
	}
	return resp
}

// isKnown reports whether the meaning of a condition is known here.
func isKnown(c *pb.Compare) bool {
	switch c.Target {
	case pb.Compare_VALUE, pb.Compare_CREATE, pb.Compare_MOD, pb.Compare_VERSION, pb.Compare_LEASE:
	default:
		return false
	}
	return c.Result >= pb.Compare_EQUAL && c.Result <= pb.Compare_NOT_EQUAL
}

// holds reports whether a condition that is known is true of the key. A key that does
// not exist has no value to compare, and is 0 in all else.
func (k *kept) holds(c *pb.Compare) bool {
	if k.kv == nil && c.Target == pb.Compare_VALUE {
		return false
	}
	var order int
	switch kv := cmp.Or(k.kv, &mvccpb.KeyValue{}); c.Target {
	case pb.Compare_VALUE:
		order = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_CREATE:
		order = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_VERSION:
		order = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_LEASE:
		order = cmp.Compare(kv.Lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_GREATER:
		return order > 0
	default:
		return order < 0
	}
}
