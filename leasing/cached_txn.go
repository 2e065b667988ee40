package leasing

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// txn answers a transaction from the cache, or returns nil if the server must answer it. The cache
// answers if the conditions are on cached keys, and the branch that they choose has only gets of
// cached keys. The other branch may have any operations that servers are certain to accept.
//
// txn calls epoch.isCertain after it has read the cached keys. If the lease still lives at that
// moment, no other client has changed a cached key up to then. So the server had these keys
// unchanged at the newest revision that this client has seen, and the response has that revision.
func (c *cache) txn(op clientv3.Op) *clientv3.TxnResponse {
	cmps, branch, other := op.Txn()
	c.mu.RLock()
	defer c.mu.RUnlock()
	latest := c.latest.Load()
	if c.epoch == nil || latest == nil {
		return nil
	}
	succeeded, cmpRev, ok := c.compareLocked(cmps)
	if !ok {
		return nil
	}
	if !succeeded {
		branch, other = other, branch
	}
	if !isAcceptable(other, map[string]bool{}) {
		return nil
	}
	read, readRev, ok := c.readLocked(branch)
	if !ok || !c.epoch.isCertain() {
		return nil
	}
	return newTxnResponse(latest, max(cmpRev, readRev, latest.GetRevision()), succeeded, branch,
		read)
}

// compareLocked evaluates conditions on cached keys. The result succeeded reports whether all
// conditions are true. The result rev is a revision at which the server had each of these keys as
// it is cached. ok is false if the cache cannot evaluate one of the conditions.
func (c *cache) compareLocked(cmps []clientv3.Cmp) (succeeded bool, rev int64, ok bool) {
	succeeded = true
	for i := range cmps {
		condition := cmps[i].GetCompare()
		key := c.ownerships[string(condition.Key)].usable()
		if key == nil || len(condition.RangeEnd) > 0 || !isKnown(condition) {
			return false, 0, false
		}
		rev, succeeded = max(rev, key.rev), succeeded && key.satisfies(condition)
	}
	return succeeded, rev, true
}

// readLocked returns the cached key for each get in a branch of a transaction. The result rev is a
// revision at which the server had each of these keys as it is cached. ok is false if the cache
// cannot answer one of the operations.
func (c *cache) readLocked(branch []clientv3.Op) (read []*cachedKey, rev int64, ok bool) {
	read = make([]*cachedKey, len(branch))
	for i := range branch {
		get := &branch[i]
		if !get.IsGet() || !c.leaseKeys.isCacheable(get) {
			return nil, 0, false
		}
		if read[i] = c.ownerships[string(get.KeyBytes())].usable(); read[i] == nil {
			return nil, 0, false
		}
		rev = max(rev, read[i].rev)
	}
	return read, rev, true
}

// isAcceptable reports whether servers are certain to accept ops, the operations of the branch that
// is not run. A server refuses a whole transaction if one of its keys is empty or is written twice.
// isAcceptable also returns false if ops delete a range. written has the keys that operations
// before ops write, and isAcceptable adds those that ops write.
func isAcceptable(ops []clientv3.Op, written map[string]bool) bool {
	for i := range ops {
		op, key := &ops[i], string(ops[i].KeyBytes())
		switch {
		case op.IsTxn():
			cmps, thenOps, elseOps := op.Txn()
			hasNoKey := func(c clientv3.Cmp) bool { return len(c.KeyBytes()) == 0 }
			if slices.ContainsFunc(cmps, hasNoKey) || !isAcceptable(thenOps, written) ||
				!isAcceptable(elseOps, written) {
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

// newTxnResponse returns the response to a transaction that has run the operations of branch, which
// are all gets. read[i] is the cached key for the get branch[i]. The header of each part has only
// the revision, as in responses of servers.
func newTxnResponse(
	latest *pb.ResponseHeader, rev int64, succeeded bool, branch []clientv3.Op, read []*cachedKey,
) *clientv3.TxnResponse {
	resp := &clientv3.TxnResponse{Header: headerAt(latest, rev), Succeeded: succeeded}
	for i, key := range read {
		get := (*pb.RangeResponse)(key.response(nil, rev, &branch[i]))
		resp.Responses = append(resp.Responses,
			&pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: get}})
	}
	return resp
}

// isKnown reports whether this client knows the target and the operator of a condition, and so can
// evaluate the condition.
func isKnown(c *pb.Compare) bool {
	return c.Target >= pb.Compare_VERSION && c.Target <= pb.Compare_LEASE &&
		c.Result >= pb.Compare_EQUAL && c.Result <= pb.Compare_NOT_EQUAL
}

// satisfies reports whether a condition on the key is true. The target and the operator of the
// condition must be known (see isKnown). If the key does not exist, each condition on its value is
// false, and its revisions, version and lease are 0.
func (k *cachedKey) satisfies(c *pb.Compare) bool {
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
