package leasing

import (
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// latestHeader is the header with the highest revision that was seen. A cached key still is what
// the server has at that revision, which may be far above the key's own.
type latestHeader struct {
	p atomic.Pointer[pb.ResponseHeader]
}

func (l *latestHeader) get() *pb.ResponseHeader { return l.p.Load() }

// saw notes the header of a response.
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

// headerAt returns a copy of a header with another revision.
func headerAt(h *pb.ResponseHeader, rev int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: h.GetClusterId(), MemberId: h.GetMemberId(), Revision: rev,
		RaftTerm: h.GetRaftTerm()}
}
