package wire

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// maxPinned is how many bytes keeping one key-value pair or event may keep beyond its own.
const maxPinned = 64 << 10

// TestOnePairKeepsLittle decodes answers and keeps a single pair of each, such as a program does
// that picks one key from a list. The heap may grow by the bound only, whatever the size of the
// answer.
func TestOnePairKeepsLittle(t *testing.T) {
	for _, tc := range []struct{ pairs, size int }{
		{2, 40_000}, {3, 0}, {140, 8}, {3000, 0}, {2000, 16}, {1000, 256}, {500, 1024},
		{300, 5000}, {100, 24_000}, {50, 33_000}, {20, 100_000},
	} {
		t.Run(fmt.Sprintf("%d of %d bytes", tc.pairs, tc.size), func(t *testing.T) {
			list := testPairs(tc.pairs, tc.size)
			data := encode(t, &pb.RangeResponse{Header: testHeader(), Kvs: list})
			own := 200 + len(list[0].Key) + tc.size*5/4 // with what the runtime rounds up
			keepOne(t, data, own, func(m *pb.RangeResponse, i int) any {
				return m.Kvs[i%len(m.Kvs)]
			})
		})
	}
}

// keepOne decodes data some times, keeps what keep returns, and checks how much that keeps.
func keepOne[M any, P interface {
	*M
	proto.Message
}](t *testing.T, data []byte, own int, keep func(m P, i int) any) {
	t.Helper()
	const rounds = 40
	pieces := inPieces(data, frame)
	kept := make([]any, rounds)
	before := liveHeap()
	for i := range kept {
		m := P(new(M))
		require.True(t, decode(pieces, m))
		kept[i] = keep(m, i*7)
	}
	each := (int64(liveHeap()) - int64(before)) / rounds
	t.Logf("%d bytes kept, %d of them its own", each, own)
	assert.LessOrEqual(t, each, int64(own+maxPinned))
	assert.Positive(t, each)
	runtime.KeepAlive(kept)
	runtime.KeepAlive(pieces)
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestPairsDoNotTouch shows that an append to one key or value changes no other, and that two
// answers share nothing, empty slices and headers included: a program may rewrite keys in place.
func TestPairsDoNotTouch(t *testing.T) {
	want := testRange(300, 20)
	data := inPieces(encode(t, want), frame)
	var first, second pb.RangeResponse
	require.True(t, decode(data, &first))
	require.True(t, decode(data, &second))
	assert.Equal(t, len(first.Kvs), cap(first.Kvs))
	for _, kv := range first.Kvs {
		assert.Equal(t, len(kv.Key), cap(kv.Key))
		assert.Equal(t, len(kv.Value), cap(kv.Value))
		_ = append(kv.Key, "appended"...)
		_ = append(kv.Value, "appended"...)
	}
	assert.True(t, proto.Equal(want, &first))
	for _, kv := range first.Kvs {
		clear(kv.Key)
		clear(kv.Value)
		kv.Reset()
	}
	first.Header.Reset()
	first.Kvs = append(first.Kvs[:1], &mvccpb.KeyValue{})
	assert.True(t, proto.Equal(want, &second))
}

// TestAllocationsDoNotGrowWithTheKeys shows how many allocations an answer takes.
func TestAllocationsDoNotGrowWithTheKeys(t *testing.T) {
	for _, tc := range []struct {
		keys, size int
		most       float64
	}{
		{0, 0, 1}, {1, 256, 2}, {100, 256, 4}, {1000, 256, 20}, {10_000, 1024, 460},
	} {
		data := inPieces(encode(t, testRange(tc.keys, tc.size)), frame)
		var m pb.RangeResponse
		allocs := testing.AllocsPerRun(10, func() { decode(data, &m) })
		assert.LessOrEqual(t, allocs, tc.most, "%d keys", tc.keys)
	}
}
