package cache

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// tree is the content of a range, by key.
type tree = keytree.Tree

// view is what a cache shows at one moment. It is immutable.
type view struct {
	tree         tree
	revision     int64     // the tree is the state at this revision; 0 before the first list
	logged       int64     // the log has every change up to it; a proof may be ahead
	confirmed    int64     // the greatest revision that a proof has moved a view to
	provenAt     time.Time // every write that was acknowledged before it is in the tree
	origin       origin
	era          int64         // how often the copy was of another cluster, of a past, or wrong
	lists        int64         // how often the whole range was read
	bytes        int64         // of keys and values
	last         *entry        // the newest entry of the log; never nil
	leaderLosses int64         // how often the watch ended because its member had no leader
	err          error         // why the cache ended; nil as long as it lives
	replaced     chan struct{} // closed when another view is published
}

// origin identifies who answered last, for the headers of answers from memory.
type origin struct {
	clusterID, memberID, raftTerm uint64
}

// originOf returns who sent a header.
func originOf(header *pb.ResponseHeader) origin {
	return origin{header.GetClusterId(), header.GetMemberId(), header.GetRaftTerm()}
}

// header returns the header of an answer from memory at a revision.
func (o origin) header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: o.clusterID, MemberId: o.memberID, Revision: revision,
		RaftTerm: o.raftTerm}
}

// synced reports whether the view holds a state at all.
func (v *view) synced() bool { return v.revision > 0 }
