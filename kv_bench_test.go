package clientv3

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// cannedKV is a stub that costs nothing: what is measured is the KV before it.
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

// BenchmarkOverCannedStub shows what a KV adds to its stub, the request included.
func BenchmarkOverCannedStub(b *testing.B) {
	kv, ctx := NewKVFromKVClient(&cannedKV{}, nil), context.Background()
	key, val := "a key of a usual length", "a value that is a little longer than that"
	calls := []struct {
		name string
		call func() error
	}{
		{"Get", func() error { _, err := kv.Get(ctx, key); return err }},
		{"GetWithOptions", func() error {
			_, err := kv.Get(ctx, key, WithPrefix(), WithLimit(1))
			return err
		}},
		{"Put", func() error { _, err := kv.Put(ctx, key, val); return err }},
		{"PutWithLease", func() error {
			_, err := kv.Put(ctx, key, val, WithLease(7))
			return err
		}},
		{"Txn", func() error {
			_, err := kv.Txn(ctx).If(Compare(Version(key), "=", 0)).Then(OpPut(key, val)).Else(
				OpGet(key)).Commit()
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

// TestAllocationsOverTheStub holds what a KV may allocate, the request and the bytes
// of key and value included.
func TestAllocationsOverTheStub(t *testing.T) {
	kv, ctx := NewKVFromKVClient(&cannedKV{}, nil), t.Context()
	tests := []struct {
		name string
		call func() error
		most float64
	}{
		{"Get", func() error { _, err := kv.Get(ctx, "key"); return err }, 2},
		{"Put", func() error { _, err := kv.Put(ctx, "key", "value"); return err }, 3},
		{"Get with an option", func() error {
			_, err := kv.Get(ctx, "key", WithSerializable())
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
