package clientv3

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/retry"
)

// requestCase is one kind of request, made through the client and through the
// bare stub on the client's own connection.
type requestCase struct {
	name string
	bare func() error
	ours func() error
}

// requestCases asks a server with canned answers. The stub's requests are made
// once: what a client adds includes the making of its requests.
func requestCases(tb testing.TB) []requestCase {
	s := etcdfake.Start(tb, etcdfake.WithCanned())
	c, err := New(Config{Endpoints: []string{s.Addr()}, Logger: zap.NewNop()})
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
				_, err := c.Txn(ctx).If(Compare(Version(key), "=", 0)).Then(OpPut(key, value)).Else(
					OpGet(key)).Commit()
				return err
			},
		},
	}
}

// BenchmarkRequest prints each request beside the bare stub's.
func BenchmarkRequest(b *testing.B) {
	for _, tc := range requestCases(b) {
		b.Run(tc.name+"/stub", repeat(tc.bare))
		b.Run(tc.name+"/client", repeat(tc.ours))
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

// cannedConn answers at once and allocates nothing, so that all that is counted
// is the client's own.
type cannedConn struct{ grpc.ClientConnInterface }

func (cannedConn) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

// TestRequestAllocations holds what a client adds to the bare stub's
// allocations: at most 5 in number and 600 bytes.
func TestRequestAllocations(t *testing.T) {
	c := NewCtxClient(t.Context())
	defer c.Close()
	c.cfg = Config{}.withDefaults()
	c.rpc = retry.New(cannedConn{}, c.retryConfig())
	stub, kv, ctx := pb.NewKVClient(cannedConn{}), NewKV(c), t.Context()
	put, get := &pb.PutRequest{}, &pb.RangeRequest{}
	for _, tc := range []requestCase{
		{
			"Put",
			func() error { _, err := stub.Put(ctx, put); return err },
			func() error {
				_, err := kv.Put(ctx, "a key of a usual length", "and its value")
				return err
			},
		},
		{
			"Get",
			func() error { _, err := stub.Range(ctx, get); return err },
			func() error { _, err := kv.Get(ctx, "a key of a usual length"); return err },
		},
	} {
		bareCount, bareBytes := allocated(t, tc.bare)
		count, bytes := allocated(t, tc.ours)
		t.Logf("%s: %.1f allocations and %.0f bytes above the stub", tc.name, count-bareCount,
			bytes-bareBytes)
		assert.Less(t, count-bareCount, 5.1, tc.name)
		assert.Less(t, bytes-bareBytes, 600.0, tc.name)
	}
}

// allocated returns how much one call allocates.
func allocated(t *testing.T, call func() error) (count, bytes float64) {
	const calls = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / calls,
		float64(after.TotalAlloc-before.TotalAlloc) / calls
}
