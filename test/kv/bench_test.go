package kv_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// cannedKV answers immediately and allocates nothing. A benchmark thus measures only the KV above
// it.
type cannedKV struct {
	pb.KVClient
	get pb.RangeResponse
	put pb.PutResponse
	txn pb.TxnResponse
}

func (c *cannedKV) Range(
	context.Context, *pb.RangeRequest, ...grpc.CallOption,
) (*pb.RangeResponse, error) {
	return &c.get, nil
}

func (c *cannedKV) Put(
	context.Context, *pb.PutRequest, ...grpc.CallOption,
) (*pb.PutResponse, error) {
	return &c.put, nil
}

func (c *cannedKV) Txn(
	context.Context, *pb.TxnRequest, ...grpc.CallOption,
) (*pb.TxnResponse, error) {
	return &c.txn, nil
}

// BenchmarkOverCannedStub measures the time and the allocations that a KV adds to a call of its
// stub. The results include the cost of making the request message.
func BenchmarkOverCannedStub(b *testing.B) {
	kv, ctx := clientv3.NewKVFromKVClient(&cannedKV{}, nil), context.Background()
	key, val := "a key of a usual length", "a value that is a little longer than that"
	calls := []struct {
		name string
		call func() error
	}{
		{"Get", func() error { _, err := kv.Get(ctx, key); return err }},
		{"GetWithOptions", func() error {
			_, err := kv.Get(ctx, key, clientv3.WithPrefix(), clientv3.WithLimit(1))
			return err
		}},
		{"Put", func() error { _, err := kv.Put(ctx, key, val); return err }},
		{"PutWithLease", func() error {
			_, err := kv.Put(ctx, key, val, clientv3.WithLease(7))
			return err
		}},
		{"Txn", func() error {
			_, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), "=", 0)).Then(
				clientv3.OpPut(key, val)).Else(
				clientv3.OpGet(key)).Commit()
			return err
		}},
	}
	for _, c := range calls {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestAllocationsOverTheStub limits how often a KV allocates for a request. The stub has canned
// answers and allocates nothing. The limits include the copies of the key and the value.
func TestAllocationsOverTheStub(t *testing.T) {
	kv, ctx := clientv3.NewKVFromKVClient(&cannedKV{}, nil), t.Context()
	tests := []struct {
		name string
		call func() error
		most float64
	}{
		{"Get", func() error { _, err := kv.Get(ctx, "key"); return err }, 2},
		{"Put", func() error { _, err := kv.Put(ctx, "key", "value"); return err }, 3},
		{"Get with an option", func() error {
			_, err := kv.Get(ctx, "key", clientv3.WithSerializable())
			return err
		}, 3},
	}
	for _, tt := range tests {
		allocs := testing.AllocsPerRun(100, func() {
			if err := tt.call(); err != nil {
				panic(err)
			}
		})
		assert.LessOrEqual(t, allocs, tt.most, tt.name)
	}
}

// requestCase is one kind of request, made in two ways: its function stub calls the gRPC stub on
// the client's connection, and its function client calls the client.
type requestCase struct {
	name   string
	stub   func() error
	client func() error
}

// requestCases returns requests to a server with canned answers. The function stub sends one
// message again and again, while the function client builds a message for each call. So a
// comparison of the two includes the cost of building messages.
func requestCases(tb testing.TB) []requestCase {
	s := etcdfake.Start(tb, etcdfake.WithCanned())
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr()}, Logger: zap.NewNop()})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	stub, ctx := pb.NewKVClient(c.ActiveConnection()), context.Background()
	key, value := "a key of a usual length", "a value that is a little longer than that"
	put := &pb.PutRequest{Key: []byte(key), Value: []byte(value)}
	get := &pb.RangeRequest{Key: []byte(key)}
	txn := &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte(key), TargetUnion: &pb.Compare_Version{}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: get}}},
	}
	return []requestCase{
		{
			"Put",
			func() error { _, err := stub.Put(ctx, put); return err },
			func() error { _, err := c.Put(ctx, key, value); return err },
		},
		{
			"Get",
			func() error { _, err := stub.Range(ctx, get); return err },
			func() error { _, err := c.Get(ctx, key); return err },
		},
		{
			"Txn",
			func() error { _, err := stub.Txn(ctx, txn); return err },
			func() error {
				_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), "=", 0)).Then(
					clientv3.OpPut(key, value)).Else(
					clientv3.OpGet(key)).Commit()
				return err
			},
		},
	}
}

// BenchmarkRequest measures each request with the client and with the gRPC stub alone.
func BenchmarkRequest(b *testing.B) {
	for _, tc := range requestCases(b) {
		b.Run(tc.name+"/stub", repeat(tc.stub))
		b.Run(tc.name+"/client", repeat(tc.client))
	}
}

func repeat(call func() error) func(*testing.B) {
	return func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := call(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
