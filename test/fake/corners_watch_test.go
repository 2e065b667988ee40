package fake_test

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func watchesBelowCompaction(p *pair) {
	p.watches.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 50, PrevKv: true})
	p.watches.same()
	p.putAll("a", "b", "a", "a", "c")
	p.watches.same()
	p.compact(4)
	for i, rev := range []int64{1, 2, 3, 4, 5, 6, 7, 8, -1, -2} {
		p.watches.create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("z"),
			StartRevision: rev, WatchId: int64(60 + i), PrevKv: true, Fragment: i%2 == 0})
		p.watches.same()
	}
	p.watches.progress()
	p.watches.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
		CancelRequest: &pb.WatchCancelRequest{WatchId: 60}}})
	p.watches.same()
	p.putAll("a", "b")
	p.watches.same()
	p.compact(4)
	p.compact(99)
	p.compact(0)
	p.compact(-1)
	p.compact(8)
	p.watches.same()
	for rev := range int64(11) {
		p.get("", &pb.RangeRequest{Key: []byte("a"), Revision: rev})
	}
	p.putAll("a")
}

func oddWatches(p *pair) {
	for _, req := range []*pb.WatchCreateRequest{
		{}, {Key: []byte("a")}, {Key: []byte("a"), RangeEnd: []byte("a")},
		{Key: []byte("b"), RangeEnd: []byte("a")}, {Key: []byte("a"), RangeEnd: []byte{0}},
		{Key: []byte{}, RangeEnd: []byte{0}}, {RangeEnd: []byte("b")},
		{Key: []byte("a"), WatchId: 7}, {Key: []byte("a"), WatchId: 7},
		{Key: []byte("a"), WatchId: -5}, {Key: []byte("a"), WatchId: 1 << 40},
		{Key: []byte("a"), Filters: []pb.WatchCreateRequest_FilterType{0, 1}},
		{Key: []byte("a"), Filters: []pb.WatchCreateRequest_FilterType{5}},
		{Key: []byte("a"), Filters: []pb.WatchCreateRequest_FilterType{0, 0}},
		{Key: []byte{0}, RangeEnd: []byte{0}, ProgressNotify: true, StartRevision: 40},
		{Key: []byte{0}, RangeEnd: []byte{0}}, {Key: []byte("a")},
	} {
		p.watches.create(req)
		p.watches.same()
	}
	p.putAll("a", "b")
	p.txn("", txnOf(&pb.DeleteRangeRequest{Key: []byte("a")}, putOf("b"), putOf("c")))
	p.txn("", txnOf(putOf("a"), &pb.DeleteRangeRequest{Key: []byte("b"), RangeEnd: []byte("z")}))
	p.watches.same()
	for _, id := range []int64{0, 1, 7, 7, -1, -5, 99} {
		p.watches.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
			CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
		p.watches.same()
	}
	p.watches.create(&pb.WatchCreateRequest{Key: []byte("a")})
	p.watches.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 7})
	p.watches.same()
	p.watches.send(&pb.WatchRequest{})
	p.putAll("a")
	p.watches.same()
}
