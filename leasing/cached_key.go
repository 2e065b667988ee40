package leasing

import (
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// cachedKey is the state of a key at a revision. It is never changed after it is made, and
// responses are copies of it.
type cachedKey struct {
	kv  *mvccpb.KeyValue // nil if the key does not exist
	rev int64            // the revision of the store at which the key was read
}

// newCachedKey returns the key from the response to a get of a single key at the revision rev. It
// returns nil if resp is nil.
func newCachedKey(resp *pb.RangeResponse, rev int64) *cachedKey {
	if resp == nil {
		return nil
	}
	return &cachedKey{kv: first(resp.Kvs), rev: rev}
}

// isLasting reports whether only a client's write can change the key. The server can delete a key
// that is attached to a lease. isLasting returns false if k is nil.
func (k *cachedKey) isLasting() bool { return k != nil && k.kv.GetLease() == 0 }

// answer is a response together with all structs that the response points to, so that one
// allocation makes all of them.
type answer struct {
	resp   clientv3.GetResponse
	header pb.ResponseHeader
	kv     mvccpb.KeyValue
	kvs    [1]*mvccpb.KeyValue
}

// response returns the response to a get, as a copy that belongs to the caller. Its header has the
// revision rev, and the cluster, member and term of latest. The server must have had the key at the
// revision rev as it is in k. op is nil for a get without options.
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
	a.resp.Count = 1 // servers also count a key that is outside of the get's bounds on revisions
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

// isWithin reports whether the key's revisions are within the bounds that a get has set. A bound of
// 0 is not set.
func (k *cachedKey) isWithin(op *clientv3.Op) bool {
	within := func(rev, least, most int64) bool {
		return (least == 0 || rev >= least) && (most == 0 || rev <= most)
	}
	return within(k.kv.ModRevision, op.MinModRev(), op.MaxModRev()) &&
		within(k.kv.CreateRevision, op.MinCreateRev(), op.MaxCreateRev())
}

// latestHeader is the header with the highest revision of all responses so far. Answers from the
// cache have this revision. It may be far above the revision at which the key was cached. But the
// server's key has not changed between these two revisions.
type latestHeader struct {
	atomic.Pointer[pb.ResponseHeader]
}

// saw records the header of a response if its revision is the highest so far.
func (l *latestHeader) saw(h *pb.ResponseHeader) {
	for {
		old := l.Load()
		if old.GetRevision() >= h.GetRevision() {
			return
		}
		own := headerAt(h, h.Revision)
		if l.CompareAndSwap(old, own) {
			return
		}
	}
}

func headerAt(h *pb.ResponseHeader, rev int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: h.GetClusterId(), MemberId: h.GetMemberId(), Revision: rev,
		RaftTerm: h.GetRaftTerm()}
}
