package evaluate

import (
	"bytes"
	"math"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/fair"
)

// Range returns the answer to a range request, without a header. k must be the state at the
// revision that the request asks for. The request must be one that a server accepts.
func Range(k Keys, req *pb.RangeRequest) *pb.RangeResponse {
	key, end := string(req.Key), string(req.RangeEnd)
	if req.CountOnly {
		return &pb.RangeResponse{Count: k.count(key, end)}
	}
	limit := fetchLimit(req)
	kvs := k.find(key, end, limit)
	resp := &pb.RangeResponse{Count: int64(len(kvs))}
	if limit > 0 && resp.Count == limit {
		resp.Count = k.count(key, end)
	}
	kvs = filter(kvs, req)
	order(kvs, req)
	if req.Limit > 0 && int64(len(kvs)) > req.Limit {
		kvs, resp.More = kvs[:req.Limit], true
	}
	resp.Kvs = copies(kvs, req)
	return resp
}

// fetchLimit returns how many pairs to read before filtering and sorting them; 0 means all. The
// rules are those of an etcd server:
//
//   - If the request filters by revision, or sorts otherwise than by ascending key, all pairs are
//     read.
//   - Otherwise the limit of the request is read and one pair more, to see whether there are more.
//
// A sort target without a sort order falls under the second rule: etcd sorts only the pairs that it
// has read.
func fetchLimit(req *pb.RangeRequest) int64 {
	if !defaultOrder(req.SortTarget, req.SortOrder) || bounded(req) {
		return 0
	}
	if req.Limit > 0 && req.Limit < math.MaxInt64 {
		return req.Limit + 1
	}
	return req.Limit
}

func defaultOrder(target pb.RangeRequest_SortTarget, order pb.RangeRequest_SortOrder) bool {
	return order == pb.RangeRequest_NONE ||
		target == pb.RangeRequest_KEY && order == pb.RangeRequest_ASCEND
}

// bounded reports whether a request filters pairs by their mod or create revisions.
func bounded(req *pb.RangeRequest) bool {
	return req.MinModRevision != 0 || req.MaxModRevision != 0 || req.MinCreateRevision != 0 ||
		req.MaxCreateRevision != 0
}

// filter returns the pairs whose mod and create revisions are within the bounds of the request.
func filter(kvs []*mvccpb.KeyValue, req *pb.RangeRequest) []*mvccpb.KeyValue {
	if !bounded(req) {
		return kvs
	}
	var kept []*mvccpb.KeyValue
	for _, kv := range kvs {
		if (req.MaxModRevision == 0 || kv.ModRevision <= req.MaxModRevision) &&
			(req.MinModRevision == 0 || kv.ModRevision >= req.MinModRevision) &&
			(req.MaxCreateRevision == 0 || kv.CreateRevision <= req.MaxCreateRevision) &&
			(req.MinCreateRevision == 0 || kv.CreateRevision >= req.MinCreateRevision) {
			kept = append(kept, kv)
		}
	}
	return kept
}

// sortable sorts pairs with package sort. etcd uses this package, too, so pairs that compare equal
// get the order that they have on a server.
type sortable struct {
	kvs  []*mvccpb.KeyValue
	less func(a, b *mvccpb.KeyValue) bool
}

func (s sortable) Len() int           { return len(s.kvs) }
func (s sortable) Swap(i, j int)      { s.kvs[i], s.kvs[j] = s.kvs[j], s.kvs[i] }
func (s sortable) Less(i, j int) bool { return s.less(s.kvs[i], s.kvs[j]) }

func byKey(a, b *mvccpb.KeyValue) bool     { return bytes.Compare(a.Key, b.Key) < 0 }
func byVersion(a, b *mvccpb.KeyValue) bool { return a.Version < b.Version }
func byCreate(a, b *mvccpb.KeyValue) bool  { return a.CreateRevision < b.CreateRevision }
func byMod(a, b *mvccpb.KeyValue) bool     { return a.ModRevision < b.ModRevision }
func byValue(a, b *mvccpb.KeyValue) bool   { return bytes.Compare(a.Value, b.Value) < 0 }

var orders = map[pb.RangeRequest_SortTarget]func(a, b *mvccpb.KeyValue) bool{
	pb.RangeRequest_KEY:     byKey,
	pb.RangeRequest_VERSION: byVersion,
	pb.RangeRequest_CREATE:  byCreate,
	pb.RangeRequest_MOD:     byMod,
	pb.RangeRequest_VALUE:   byValue,
}

// order sorts pairs as the request asks for. kvs must be in the order of the keys. If the request
// names a sort target other than the key, but no sort order, the order is ascending.
func order(kvs []*mvccpb.KeyValue, req *pb.RangeRequest) {
	direction := req.SortOrder
	if req.SortTarget != pb.RangeRequest_KEY && direction == pb.RangeRequest_NONE {
		direction = pb.RangeRequest_ASCEND
	}
	if defaultOrder(req.SortTarget, direction) {
		return
	}
	var sorter sort.Interface = sortable{kvs: kvs, less: orders[req.SortTarget]}
	if direction == pb.RangeRequest_DESCEND {
		sorter = sort.Reverse(sorter)
	}
	sort.Sort(sorter)
}

// slabPairs is how many copies of pairs are allocated as one block of memory. A program that keeps
// one copy keeps its whole block in memory, at most 32 KiB.
const slabPairs = 256

// copies replaces the pairs in the slice kvs by copies, and returns the slice.
//
// If the request asks only for keys, the copies have no lease, because etcd reads an index without
// leases. But to sort by value, etcd reads the whole pairs, so the copies then keep the lease.
func copies(kvs []*mvccpb.KeyValue, req *pb.RangeRequest) []*mvccpb.KeyValue {
	if len(kvs) == 0 {
		return nil
	}
	leases := !req.KeysOnly || req.SortTarget == pb.RangeRequest_VALUE
	var slab []mvccpb.KeyValue
	loop := fair.Start()
	for i, kv := range kvs {
		if len(slab) == 0 {
			slab = make([]mvccpb.KeyValue, min(len(kvs)-i, slabPairs))
			loop.Did(len(slab))
		}
		c := &slab[0]
		slab = slab[1:]
		c.Key, c.CreateRevision, c.ModRevision, c.Version = kv.Key, kv.CreateRevision,
			kv.ModRevision, kv.Version
		if leases {
			c.Lease = kv.Lease
		}
		if !req.KeysOnly {
			c.Value = kv.Value
		}
		kvs[i] = c
	}
	return kvs
}
