package wire

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// frame is the size of the pieces in which messages arrive.
const frame = 16 << 10

func testHeader() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 14841639068965178418, MemberId: 10276657743932975437,
		Revision: 123456, RaftTerm: 7}
}

func testPairs(n, size int) []*mvccpb.KeyValue {
	kvs := make([]*mvccpb.KeyValue, n)
	for i := range kvs {
		kvs[i] = &mvccpb.KeyValue{Key: fmt.Appendf(nil, "/registry/key/%06d", i),
			Value: make([]byte, size), CreateRevision: 100000 + int64(i),
			ModRevision: 120000 + int64(i), Version: 3}
		for j := range kvs[i].Value {
			kvs[i].Value[j] = byte(i + j)
		}
	}
	return kvs
}

func testRange(n, size int) *pb.RangeResponse {
	return &pb.RangeResponse{Header: testHeader(), Kvs: testPairs(n, size), Count: int64(n)}
}

func testWatch(n, size int, prev bool) *pb.WatchResponse {
	m := &pb.WatchResponse{Header: testHeader(), WatchId: 3}
	for _, kv := range testPairs(n, size) {
		m.Events = append(m.Events, &mvccpb.Event{Kv: kv})
		if prev {
			m.Events[len(m.Events)-1].PrevKv = kv
		}
	}
	return m
}

func testTxn() *pb.TxnResponse {
	put := &pb.PutResponse{Header: &pb.ResponseHeader{Revision: 123456}}
	return &pb.TxnResponse{Header: testHeader(), Succeeded: true, Responses: []*pb.ResponseOp{
		{Response: &pb.ResponseOp_ResponsePut{ResponsePut: put}},
		{Response: &pb.ResponseOp_ResponsePut{ResponsePut: put}},
		{Response: &pb.ResponseOp_ResponseRange{ResponseRange: testRange(1, 256)}},
	}}
}

// BenchmarkDecode compares this package's codec with gRPC's. The messages are in several buffers,
// as gRPC receives them.
func BenchmarkDecode(b *testing.B) {
	for _, w := range []struct {
		name string
		m    proto.Message
	}{
		{"get", testRange(1, 256)},
		{"range of 100", testRange(100, 256)},
		{"range of 1000", testRange(1000, 256)},
		{"range of 10000", testRange(10000, 1024)},
		{"put", &pb.PutResponse{Header: testHeader()}},
		{"txn", testTxn()},
		{"watch 1", testWatch(1, 256, false)},
		{"watch 100", testWatch(100, 256, false)},
		{"keepalive", &pb.LeaseKeepAliveResponse{Header: testHeader(), ID: 1 << 50, TTL: 60}},
	} {
		data := pooled(encode(b, w.m))
		for name, c := range map[string]encoding.CodecV2{"fast": codec{usual}, "library": usual} {
			b.Run(w.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					m := w.m.ProtoReflect().New().Interface()
					if err := c.Unmarshal(data, m); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// pooled copies data into reference-counted buffers of 16 KiB, the pieces in which gRPC receives a
// message.
func pooled(data []byte) mem.BufferSlice {
	var pieces mem.BufferSlice
	for len(data) > 0 {
		n := min(frame, len(data))
		pieces = append(pieces, mem.Copy(data[:n], mem.DefaultBufferPool()))
		data = data[n:]
	}
	return pieces
}
