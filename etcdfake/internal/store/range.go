package store

import (
	"bytes"
	"math"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// maxRequestBytes is the largest size in bytes of a request that etcd proposes to Raft. RangeStream
// also compares the size of a chunk with it, to choose the number of keys in the following chunk.
const maxRequestBytes = 3 * 512 * 1024

func checkRangeRequest(req *pb.RangeRequest) error {
	switch {
	case len(req.GetKey()) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case pb.RangeRequest_SortOrder_name[int32(req.SortOrder)] == "",
		pb.RangeRequest_SortTarget_name[int32(req.SortTarget)] == "":
		return rpctypes.ErrGRPCInvalidSortOption
	}
	return nil
}

func (s *Store) callRange(c Caller, req *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := checkRangeRequest(req); err != nil {
		return nil, err
	}
	rev, err := s.admitRange(c, req)
	if err != nil {
		return nil, err
	}
	resp, err := s.kv.answerRange(req, rev, true)
	if err != nil {
		return nil, err
	}
	resp.Header = s.headerAt(c, rev)
	return resp, nil
}

// admitRange checks that the caller may read the range, and returns the newest revision that the
// caller may see. That is an older revision than the store's if the read is serializable and the
// member lags.
func (s *Store) admitRange(c Caller, req *pb.RangeRequest) (int64, error) {
	who, err := s.identify(c)
	if err != nil {
		return 0, err
	}
	if err := s.auth.mayRead(who, req.Key, req.RangeEnd); err != nil {
		return 0, err
	}
	if req.Serializable {
		return s.viewOf(c), nil
	}
	return s.kv.rev, nil
}

// viewOf returns the newest revision that the member of the caller shows, given its lag.
func (s *Store) viewOf(c Caller) int64 {
	if c.Lag <= 0 {
		return s.kv.rev
	}
	return s.kv.revisionAt(s.cfg.Now().Add(-c.Lag))
}

// readable returns the revision at which to read. This is the revision asked, which comes from the
// request. If asked is 0 or negative, it is rev, the newest revision that the caller may see.
// Errors:
//
//   - ErrGRPCFutureRev if asked is above rev
//   - ErrGRPCCompacted if the revision at which to read is below the compacted revision
func (k *keyspace) readable(asked, rev int64) (int64, error) {
	if asked > rev {
		return 0, rpctypes.ErrGRPCFutureRev
	}
	if asked <= 0 {
		asked = rev
	}
	if asked < k.compacted {
		return 0, rpctypes.ErrGRPCCompacted
	}
	return asked, nil
}

// answerRange answers a range as if rev were the newest revision. If withTotal is true, the count
// in the response is the number of all keys in the range.
//
// For the chunks of a RangeStream, withTotal is false. As in etcd, the count is then at most the
// number of keys that etcd reads for the chunk: see fetchLimit.
func (k *keyspace) answerRange(
	req *pb.RangeRequest, rev int64, withTotal bool,
) (*pb.RangeResponse, error) {
	at, err := k.readable(req.Revision, rev)
	if err != nil {
		return nil, err
	}
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: rev}}
	kvs := k.find(req.Key, req.RangeEnd, at)
	resp.Count = int64(len(kvs))
	if req.CountOnly {
		return resp, nil
	}
	if limit := fetchLimit(req); limit > 0 && int64(len(kvs)) > limit {
		kvs = kvs[:limit]
		if !withTotal {
			resp.Count = limit
		}
	}
	kvs = filterKVs(kvs, req)
	sortKVs(kvs, req)
	if req.Limit > 0 && int64(len(kvs)) > req.Limit {
		kvs, resp.More = kvs[:req.Limit], true
	}
	if req.KeysOnly {
		kvs = keysOnly(kvs, req.SortTarget != pb.RangeRequest_VALUE)
	}
	resp.Kvs = kvs
	return resp, nil
}

// fetchLimit returns how many keys etcd reads before it filters and sorts them; 0 means all keys.
// If the request filters or has a sort order, etcd reads all keys, because the limit applies to the
// result.
//
// Otherwise etcd reads one key more than the limit, to see whether there are more keys. If the
// request has a sort target but no sort order, etcd sorts only the keys that it has read.
func fetchLimit(req *pb.RangeRequest) int64 {
	if !defaultOrder(req.SortTarget, req.SortOrder) || filtersRevisions(req) {
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

func filtersRevisions(req *pb.RangeRequest) bool {
	return req.MinModRevision != 0 || req.MaxModRevision != 0 || req.MinCreateRevision != 0 ||
		req.MaxCreateRevision != 0
}

func filterKVs(kvs []*mvccpb.KeyValue, req *pb.RangeRequest) []*mvccpb.KeyValue {
	if !filtersRevisions(req) {
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

// sortable sorts keys with sort.Sort, as etcd does. With another algorithm, keys that compare equal
// could be in another order than in etcd.
type sortable struct {
	kvs  []*mvccpb.KeyValue
	less func(a, b *mvccpb.KeyValue) bool
}

func (s sortable) Len() int           { return len(s.kvs) }
func (s sortable) Swap(i, j int)      { s.kvs[i], s.kvs[j] = s.kvs[j], s.kvs[i] }
func (s sortable) Less(i, j int) bool { return s.less(s.kvs[i], s.kvs[j]) }

var orders = map[pb.RangeRequest_SortTarget]func(a, b *mvccpb.KeyValue) bool{
	pb.RangeRequest_KEY: func(a, b *mvccpb.KeyValue) bool {
		return bytes.Compare(a.Key, b.Key) < 0
	},
	pb.RangeRequest_VERSION: func(a, b *mvccpb.KeyValue) bool { return a.Version < b.Version },
	pb.RangeRequest_CREATE: func(a, b *mvccpb.KeyValue) bool {
		return a.CreateRevision < b.CreateRevision
	},
	pb.RangeRequest_MOD: func(a, b *mvccpb.KeyValue) bool { return a.ModRevision < b.ModRevision },
	pb.RangeRequest_VALUE: func(a, b *mvccpb.KeyValue) bool {
		return bytes.Compare(a.Value, b.Value) < 0
	},
}

func sortKVs(kvs []*mvccpb.KeyValue, req *pb.RangeRequest) {
	order := req.SortOrder
	if req.SortTarget != pb.RangeRequest_KEY && order == pb.RangeRequest_NONE {
		order = pb.RangeRequest_ASCEND
	}
	if defaultOrder(req.SortTarget, order) {
		return
	}
	var sorter sort.Interface = sortable{kvs: kvs, less: orders[req.SortTarget]}
	if order == pb.RangeRequest_DESCEND {
		sorter = sort.Reverse(sorter)
	}
	sort.Sort(sorter)
}

// keysOnly returns copies of kvs without values. The parameter indexOnly is true if etcd answers
// the request from its in-memory index. The copies then have no lease either, because the index has
// none.
func keysOnly(kvs []*mvccpb.KeyValue, indexOnly bool) []*mvccpb.KeyValue {
	keys := make([]*mvccpb.KeyValue, len(kvs))
	for i, kv := range kvs {
		keys[i] = &mvccpb.KeyValue{Key: kv.Key, CreateRevision: kv.CreateRevision,
			ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease}
		if indexOnly {
			keys[i].Lease = 0
		}
	}
	return keys
}
