package fake_test

import (
	"fmt"
	"iter"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

func sortedRanges(p *pair) {
	p.putAll("c", "a", "b", "a", "d", "c", "e")
	p.call("", pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte("d"),
		PrevKv: true}, new(pb.DeleteRangeResponse))
	p.put(&pb.PutRequest{Key: []byte("x"), Value: []byte("value of a")})
	limits, bounds, revisions := []int64{0, 2, 5, 6}, []int64{0, 4, 7}, []int64{0, 6}
	const targets, orders = 6, 4 // the last target and the last order are not valid
	for c := range choices(targets * orders * 4 * 3 * 2) {
		target := pb.RangeRequest_SortTarget(c.of(targets))
		order := pb.RangeRequest_SortOrder(c.of(orders))
		limit, bound, rev := limits[c.of(4)], bounds[c.of(3)], revisions[c.of(2)]
		p.get("", &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Limit: limit,
			SortOrder: order, SortTarget: target, Revision: rev, MinModRevision: bound,
			MaxCreateRevision: 2 * bound})
		p.get("", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("d"), Limit: limit,
			KeysOnly: true, CountOnly: limit == 5, SortOrder: order, SortTarget: target,
			Revision: rev, MaxModRevision: bound, MinCreateRevision: bound / 2})
	}
}

// choice is the number of one combination of values. Each call of [choice.of] takes the index of
// one value from it.
type choice int

// choices yields the numbers 0 to n-1. Each number stands for one combination of values.
func choices(n int) iter.Seq[*choice] {
	return func(yield func(*choice) bool) {
		for i := range n {
			if c := choice(i); !yield(&c) {
				return
			}
		}
	}
}

// The method of returns the next index, which is from 0 to n-1, and removes it from c.
func (c *choice) of(n int) int {
	i := int(*c) % n
	*c /= choice(n)
	return i
}

func nestedErrors(p *pair) {
	p.putAll("a", "b")
	for i, r := range badRequests() {
		for j, txn := range around(r) {
			p.about = fmt.Sprintf("nested errors %d %d", i, j)
			p.txn("", txn)
		}
	}
	p.txn("", &pb.TxnRequest{Success: []*pb.RequestOp{{}}})
	p.get("", &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
}

func rangeAt(key string, rev int64) *pb.RangeRequest {
	return &pb.RangeRequest{Key: []byte(key), Revision: rev}
}

// badRequests returns requests that etcd refuses, some of them only at some places of a
// transaction.
func badRequests() []proto.Message {
	return []proto.Message{
		&pb.PutRequest{Key: []byte("z"), Lease: 99},
		&pb.PutRequest{Key: []byte("new"), IgnoreValue: true},
		&pb.PutRequest{Key: []byte("new"), IgnoreLease: true},
		&pb.PutRequest{Key: []byte("a"), IgnoreValue: true, Value: []byte("x")},
		&pb.PutRequest{Key: []byte("a"), IgnoreLease: true, Lease: 5},
		&pb.PutRequest{}, &pb.RangeRequest{}, &pb.DeleteRangeRequest{},
		rangeAt("a", 99), rangeAt("a", 1), rangeAt("a", -3), putOf("a"),
		&pb.RangeRequest{Key: []byte("a"), SortOrder: 9}, &pb.TxnRequest{},
		&pb.DeleteRangeRequest{Key: []byte("a")},
		&pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte("c"), PrevKv: true},
		txnOf(putOf("a")), txnOf(putOf("n"), putOf("n")), txnOf(&pb.DeleteRangeRequest{Key: []byte("n")}),
	}
}

// around returns transactions that have the request r at different places.
func around(r proto.Message) []*pb.TxnRequest {
	notTaken := txnOf(putOf("m"))
	notTaken.Failure = txnOf(r, putOf("n")).Success
	unequal := txnOf(r)
	unequal.Compare = []*pb.Compare{{Key: []byte("none"), Target: pb.Compare_VALUE,
		TargetUnion: &pb.Compare_Value{Value: []byte("x")}}}
	unequal.Failure = txnOf(putOf("p"), rangeAt("p", 0)).Success
	return []*pb.TxnRequest{
		txnOf(putOf("a"), r), txnOf(r, putOf("n")), txnOf(putOf("m"), txnOf(putOf("o"), r)),
		txnOf(txnOf(txnOf(r)), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}), notTaken,
		unequal,
	}
}

func oddCompares(p *pair) {
	p.putAll("a", "b", "a")
	unions := []*pb.Compare{{}, {TargetUnion: &pb.Compare_Version{Version: 1}},
		{TargetUnion: &pb.Compare_Version{Version: 2}},
		{TargetUnion: &pb.Compare_CreateRevision{CreateRevision: 2}},
		{TargetUnion: &pb.Compare_ModRevision{ModRevision: 4}},
		{TargetUnion: &pb.Compare_Value{Value: []byte("value of a")}},
		{TargetUnion: &pb.Compare_Lease{Lease: 0}}}
	intervals := [][2]string{{"a", ""}, {"none", ""}, {"a", "c"}, {"c", "z"}, {"\x00", "\x00"},
		{"b", "a"}, {"", ""}, {"a", "a"}}
	const targets, results = 6, 5 // the last target and the last result are not valid
	for c := range choices(targets * results * len(unions) * len(intervals)) {
		in := intervals[c.of(len(intervals))]
		p.txn("", &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte(in[0]),
			RangeEnd: []byte(in[1]), Target: pb.Compare_CompareTarget(c.of(targets)),
			Result:      pb.Compare_CompareResult(c.of(results)),
			TargetUnion: unions[c.of(len(unions))].TargetUnion}}})
	}
}

func oddPuts(p *pair) {
	for _, req := range []*pb.PutRequest{{}, {Key: []byte{}}, {Key: []byte{0}}, {Key: []byte{0, 0}},
		{Key: []byte{0xff, 0xff}}, {Key: []byte("k"), PrevKv: true},
		{Key: []byte("k"), PrevKv: true, Value: []byte("1")},
		{Key: []byte("k"), PrevKv: true, IgnoreValue: true},
		{Key: []byte("k"), PrevKv: true, IgnoreValue: true, IgnoreLease: true},
		{Key: []byte("n"), IgnoreValue: true, IgnoreLease: true}} {
		p.put(req)
	}
	for _, in := range [][2]string{{"", ""}, {"", "\x00"}, {"\x00", "\x00"}, {"k", "\x00"},
		{"k", "k"},
		{"z", "a"}, {"", "z"}, {"\xff", "\x00"}, {"k", "k\x00"}} {
		p.get("", &pb.RangeRequest{Key: []byte(in[0]), RangeEnd: []byte(in[1])})
		p.stream("", pb.KV_RangeStream_FullMethodName,
			&pb.RangeRequest{Key: []byte(in[0]), RangeEnd: []byte(in[1])},
			new(pb.RangeStreamResponse), false)
	}
	for _, in := range [][2]string{{"", ""}, {"k", "k"}, {"z", "a"}, {"k", "k\x00"}, {"", "\x00"}} {
		p.call("", pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte(in[0]),
			RangeEnd: []byte(in[1]), PrevKv: true}, new(pb.DeleteRangeResponse))
	}
}
