package leasing

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// cachedKey is a key as it was at a revision. It is never changed: responses are copies of it.
type cachedKey struct {
	kv  *mvccpb.KeyValue // nil if the key does not exist
	rev int64
}

// newCachedKey returns what a get of one key has read at a revision, nil if resp is nil.
func newCachedKey(resp *pb.RangeResponse, rev int64) *cachedKey {
	if resp == nil {
		return nil
	}
	return &cachedKey{kv: first(resp.Kvs), rev: rev}
}

// isLasting reports whether the key changes only if a client writes it. The server deletes keys
// that are attached to a lease by itself.
func (k *cachedKey) isLasting() bool { return k != nil && k.kv.GetLease() == 0 }

// answer is a response with all of its parts. They need a single allocation.
type answer struct {
	resp   clientv3.GetResponse
	header pb.ResponseHeader
	kv     mvccpb.KeyValue
	kvs    [1]*mvccpb.KeyValue
}

// response answers a get with a copy that belongs to the caller. Its header is latest with another
// revision: rev, at which the key was what is cached. op is nil for a get without options.
func (k *cachedKey) response(
	latest *pb.ResponseHeader, rev int64, op *clientv3.Op,
) *clientv3.GetResponse {
	a := &answer{}
	a.header.ClusterId, a.header.MemberId = latest.GetClusterId(), latest.GetMemberId()
	a.header.Revision, a.header.RaftTerm = rev, latest.GetRaftTerm()
	a.resp.Header = &a.header
	if k.kv == nil {
		return &a.resp
	}
	a.resp.Count = 1 // servers count a key also if its revisions are out of bounds
	if op != nil && (op.IsCountOnly() || !k.isWithin(op)) {
		return &a.resp
	}
	value := k.kv.Value
	if op != nil && op.IsKeysOnly() {
		value = nil
	}
	buf := make([]byte, 0, len(k.kv.Key)+len(value))
	buf = append(append(buf, k.kv.Key...), value...)
	a.kv.Key = buf[:len(k.kv.Key):len(k.kv.Key)]
	if len(value) > 0 {
		a.kv.Value = buf[len(k.kv.Key):]
	}
	a.kv.CreateRevision, a.kv.ModRevision, a.kv.Version = k.kv.CreateRevision, k.kv.ModRevision,
		k.kv.Version
	a.kv.Lease = k.kv.Lease
	a.kvs[0] = &a.kv
	a.resp.Kvs = a.kvs[:]
	return &a.resp
}

// isWithin reports whether the key's revisions are within the bounds of a get. A bound of 0 is
// none.
func (k *cachedKey) isWithin(op *clientv3.Op) bool {
	within := func(rev, least, most int64) bool {
		return (least == 0 || rev >= least) && (most == 0 || rev <= most)
	}
	return within(k.kv.ModRevision, op.MinModRev(), op.MaxModRev()) &&
		within(k.kv.CreateRevision, op.MinCreateRev(), op.MaxCreateRev())
}
