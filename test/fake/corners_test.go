package fake_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// TestCornersAreEtcds sends scripts of requests that are too rare in random histories. The fake and
// etcd answer them alike. Each script starts on empty servers.
func TestCornersAreEtcds(t *testing.T) {
	for name, script := range map[string]func(*pair){
		"sorted ranges": sortedRanges, "nested errors": nestedErrors,
		"keys that change their lease in a transaction": leasesInTxns,
		"a watch from below the compaction":             watchesBelowCompaction,
		"ids and intervals of watches":                  oddWatches,
		"permissions on intervals":                      permissionsOnIntervals,
		"a role that is deleted, a user that is":        lostRoles,
		"revisions of authentication":                   staleTokens,
		"alarms":                                        alarms,
		"learners":                                      learners,
		"hashes and downgrades":                         hashes,
		"odd compares":                                  oddCompares,
		"odd leases":                                    oddLeases,
		"odd puts":                                      oddPuts,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.about = name
			script(p)
			p.watches.same()
		})
	}
}

func (p *pair) put(req *pb.PutRequest) {
	p.t.Helper()
	p.call("", pb.KV_Put_FullMethodName, req, new(pb.PutResponse))
}

func (p *pair) putAll(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.put(&pb.PutRequest{Key: []byte(key), Value: []byte("value of " + key)})
	}
}

func (p *pair) get(user string, req *pb.RangeRequest) {
	p.t.Helper()
	p.call(user, pb.KV_Range_FullMethodName, req, new(pb.RangeResponse))
}

func (p *pair) txn(user string, req *pb.TxnRequest) {
	p.t.Helper()
	p.call(user, pb.KV_Txn_FullMethodName, req, new(pb.TxnResponse))
}

func (p *pair) compact(rev int64) {
	p.t.Helper()
	p.call("", pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: rev, Physical: true},
		new(pb.CompactionResponse))
}

func putOf(key string) *pb.PutRequest { return &pb.PutRequest{Key: []byte(key)} }

func opOf(req proto.Message) *pb.RequestOp {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
	case *pb.PutRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
	case *pb.DeleteRangeRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
	case *pb.TxnRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
	}
	return &pb.RequestOp{}
}

func txnOf(reqs ...proto.Message) *pb.TxnRequest {
	txn := new(pb.TxnRequest)
	for _, req := range reqs {
		txn.Success = append(txn.Success, opOf(req))
	}
	return txn
}
