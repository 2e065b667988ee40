package clientv3

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// CompactOp describes a compaction, the request of [KV.Compact].
type CompactOp struct {
	revision int64
	physical bool
}

// CompactOption changes a [CompactOp] while it is made.
type CompactOption func(*CompactOp)

// OpCompact returns the compaction at revision rev. It removes what was superseded at or before
// rev.
func OpCompact(rev int64, opts ...CompactOption) CompactOp {
	op := CompactOp{revision: rev}
	for _, opt := range opts {
		opt(&op)
	}
	return op
}

// WithCompactPhysical makes [KV.Compact] return only when the member that serves it has removed the
// compacted revisions from its database. By default Compact returns as soon as reads and watches of
// compacted revisions fail.
func WithCompactPhysical() CompactOption { return func(op *CompactOp) { op.physical = true } }

func (op *CompactOp) request() *pb.CompactionRequest {
	return &pb.CompactionRequest{Revision: op.revision, Physical: op.physical}
}
