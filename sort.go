package clientv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// SortTarget is the field of a key-value pair that a range is sorted by.
type SortTarget int

// SortOrder is the direction a range is sorted in.
type SortOrder int

// The orders of [WithSort]. With SortNone the server answers in key order.
const (
	SortNone    SortOrder = SortOrder(pb.RangeRequest_NONE)
	SortAscend  SortOrder = SortOrder(pb.RangeRequest_ASCEND)
	SortDescend SortOrder = SortOrder(pb.RangeRequest_DESCEND)
)

// The targets of [WithSort].
const (
	SortByKey            SortTarget = SortTarget(pb.RangeRequest_KEY)
	SortByVersion        SortTarget = SortTarget(pb.RangeRequest_VERSION)
	SortByCreateRevision SortTarget = SortTarget(pb.RangeRequest_CREATE)
	SortByModRevision    SortTarget = SortTarget(pb.RangeRequest_MOD)
	SortByValue          SortTarget = SortTarget(pb.RangeRequest_VALUE)
)

// SortOption is what [WithSort] asks for: the values of Target in Order. The
// zero value is the order of the keys.
type SortOption struct {
	Target SortTarget // what is compared
	Order  SortOrder  // which end comes first
}

// valid reports whether the protocol knows both the target and the order.
func (s SortOption) valid() bool {
	return s.Target >= SortByKey && s.Target <= SortByValue &&
		s.Order >= SortNone && s.Order <= SortDescend
}

// check returns rpctypes.ErrInvalidSortOption for a sort no server knows.
func (s SortOption) check() error {
	if !s.valid() {
		return rpctypes.ErrInvalidSortOption
	}
	return nil
}
