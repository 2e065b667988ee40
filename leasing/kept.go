package leasing

import (
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// kept is what is known of a key. It is never changed: answers are copies.
type kept struct {
	kv  *mvccpb.KeyValue // nil where the key does not exist
	rev int64            // a revision at which that was so
}

// newKept keeps the result of a get of one key, nil where there is none.
func newKept(resp *pb.RangeResponse, rev int64) *kept {
	if resp == nil {
		return nil
	}
	return &kept{kv: first(resp.Kvs), rev: rev}
}

// isKeepable reports whether it stays true as long as nobody writes the key. The
// server deletes keys that are attached to a lease by itself.
func (k *kept) isKeepable() bool { return k != nil && k.kv.GetLease() == 0 }

// answer is a response with all of its parts, for a single allocation.
type answer struct {
	resp   clientv3.GetResponse
	header pb.ResponseHeader
	kv     mvccpb.KeyValue
	kvs    [1]*mvccpb.KeyValue
}

// response answers a get with a copy that belongs to the caller. The header is that of
// latest but for the revision, rev: one at which k was so. op is nil for a get without
// options.
func (k *kept) response(
	latest *pb.ResponseHeader, rev int64, op *clientv3.Op,
) *clientv3.GetResponse {
	a := &answer{}
	a.header.ClusterId, a.header.MemberId = latest.GetClusterId(), latest.GetMemberId()
	a.header.Revision, a.header.RaftTerm = rev, latest.GetRaftTerm()
	a.resp.Header = &a.header
	if k.kv == nil {
		return &a.resp
	}
	a.resp.Count = 1 // whatever the revisions asked for
	if op != nil && (op.IsCountOnly() || !k.isAskedFor(op)) {
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

// isAskedFor reports whether the key's revisions are among those that a get is
// limited to. 0 is no limit.
func (k *kept) isAskedFor(op *clientv3.Op) bool {
	within := func(rev, least, most int64) bool {
		return (least == 0 || rev >= least) && (most == 0 || rev <= most)
	}
	return within(k.kv.ModRevision, op.MinModRev(), op.MaxModRev()) &&
		within(k.kv.CreateRevision, op.MinCreateRev(), op.MaxCreateRev())
}

// latestHeader is the header with the highest revision that was seen. What is kept
// of a key is still so at that revision, which may be far above the key's own.
type latestHeader struct {
	p atomic.Pointer[pb.ResponseHeader]
}

func (l *latestHeader) get() *pb.ResponseHeader { return l.p.Load() }

func (l *latestHeader) saw(h *pb.ResponseHeader) {
	for {
		old := l.p.Load()
		if old.GetRevision() >= h.GetRevision() {
			return
		}
		own := headerAt(h, h.Revision)
		if l.p.CompareAndSwap(old, own) {
			return
		}
	}
}

// headerAt is a copy of a header with another revision.
func headerAt(h *pb.ResponseHeader, rev int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: h.GetClusterId(), MemberId: h.GetMemberId(), Revision: rev,
		RaftTerm: h.GetRaftTerm()}
}
