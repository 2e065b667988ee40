package cache

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// tree is an immutable map from the keys of a range to their key-value pairs.
type tree = keytree.Tree

// view is everything that a cache shows its readers at one moment. A view is immutable. When
// something changes, the cache publishes another view.
type view struct {
	tree tree
	// revision is the revision at which the range had the contents of tree; 0 before the range was
	// read.
	revision int64
	// logged is the revision up to which the log has every change. It may be lower than revision
	// after Cache.prove has set revision to a later one.
	logged int64
	// confirmed is the greatest revision that Cache.prove has set for a view. A read has shown that
	// the tree is right at that revision, even if the watch has not delivered all events up to it.
	confirmed int64
	// provenAt is a moment such that every write acknowledged before it is in the tree.
	provenAt time.Time
	origin   origin // the cluster and member that the newest data came from
	// era is how often the copy had to be replaced because the cluster was replaced or restored, or
	// because the copy was wrong.
	era   int64
	lists int64  // how often the whole range was read from the server
	bytes int64  // the total length of keys and values in the tree
	last  *entry // the newest entry of the log of changes; never nil
	// doubted says that the copy is wrong, or of a cluster that was replaced or restored. The range
	// is then being read again, which begins the next era. Until that is done, no answer of the
	// server proves how fresh a view is.
	doubted      bool
	leaderLosses int64 // how often the cache's watch ended because its member had no leader
	err          error // why the cache ended; nil as long as it lives
	// replaced is closed when the next view is published, which wakes the waiting readers.
	replaced chan struct{}
}

// origin has the ids of the cluster and the member that sent the newest data of the copy, and the
// Raft term. They are put into the headers of the answers that the cache gives from memory.
type origin struct {
	clusterID, memberID, raftTerm uint64
}

// originOf returns the ids and the Raft term in a response header from the server.
func originOf(header *pb.ResponseHeader) origin {
	return origin{header.GetClusterId(), header.GetMemberId(), header.GetRaftTerm()}
}

// header returns the response header for an answer from memory at the given revision.
func (o origin) header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: o.clusterID, MemberId: o.memberID, Revision: revision,
		RaftTerm: o.raftTerm}
}

// synced reports whether the range has been read at all. Before that, the view is empty.
func (v *view) synced() bool { return v.revision > 0 }

// valid reports whether the range has been read, and the copy was not found to be wrong since.
func (v *view) valid() bool { return v.synced() && !v.doubted }
