package wire

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
)

// maxPinned is the most memory of other pairs or events, in bytes, that stays allocated while a
// program retains one pair or event.
const maxPinned = 64 << 10

// TestOnePairKeepsLittle: a program that retains one pair of a response retains at most maxPinned
// bytes of other pairs, whatever the size of the response.
func TestOnePairKeepsLittle(t *testing.T) {
	for _, tc := range []struct{ pairs, size int }{
		{2, 40_000}, {3, 0}, {140, 8}, {3000, 0}, {2000, 16}, {1000, 256}, {500, 1024},
		{300, 5000}, {100, 24_000}, {50, 33_000}, {20, 100_000},
	} {
		t.Run(fmt.Sprintf("%d of %d bytes", tc.pairs, tc.size), func(t *testing.T) {
			list := testPairs(tc.pairs, tc.size)
			data := encode(t, &pb.RangeResponse{Header: testHeader(), Kvs: list})
			own := 200 + len(list[0].Key) + tc.size*5/4 // the runtime rounds sizes up
			keepOne(t, data, own, func(m *pb.RangeResponse, i int) any {
				return m.Kvs[i%len(m.Kvs)]
			})
		})
	}
}

// TestOneEventKeepsLittle: a program that retains one event of a watch response retains at most
// maxPinned bytes of other events, whatever the size of the response.
func TestOneEventKeepsLittle(t *testing.T) {
	for _, tc := range []struct {
		events, size int
		prev         bool
	}{
		{3, 0, true}, {2000, 0, true}, {2000, 0, false}, {1000, 50, true}, {1000, 256, false},
		{300, 3000, true}, {100, 20_000, false}, {20, 100_000, true},
	} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			m := testWatch(tc.events, tc.size, tc.prev)
			own := 400 + tc.size*5/4
			if tc.prev {
				own += tc.size * 5 / 4
			}
			data := encode(t, m)
			keepOne(t, data, own, func(m *pb.WatchResponse, i int) any {
				return m.Events[i%len(m.Events)]
			})
			keepOne(t, data, own, func(m *pb.WatchResponse, i int) any {
				return m.Events[i%len(m.Events)].Kv
			})
		})
	}
}

// keepOne decodes data many times. Of each message it retains only the part that the parameter keep
// returns. It checks that the heap grows by at most own+maxPinned bytes for each part.
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

// TestUnevenPairsTakeLittle: a response with pairs of different sizes takes at most a quarter more
// memory than the protobuf library would use. The decoder allocates memory for many pairs at once,
// and estimates their sizes from the first pair.
func TestUnevenPairsTakeLittle(t *testing.T) {
	for _, sizes := range [][]int{{5000, 0, 0, 0}, {0, 0, 0, 5000}, {700, 20, 20, 20}} {
		var list []*mvccpb.KeyValue
		for i := range 2000 {
			list = append(list, testPairs(1, sizes[i%len(sizes)])...)
		}
		pieces := inPieces(encode(t, &pb.RangeResponse{Header: testHeader(), Kvs: list}), frame)
		heapOf := func(c encoding.CodecV2) int64 {
			before := liveHeap()
			var m pb.RangeResponse
			require.NoError(t, c.Unmarshal(pieces, &m))
			after := liveHeap()
			runtime.KeepAlive(&m)
			return int64(after) - int64(before)
		}
		own, library := heapOf(codec{usual}), heapOf(usual)
		runtime.KeepAlive(pieces)
		t.Logf("%v: %d bytes, and %d with the library", sizes, own, library)
		assert.LessOrEqual(t, own, library*5/4)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestPairsDoNotTouch shows that an append to one key or value changes no other key or value, and
// that two decoded messages share no memory. So a program can change a response that it got.
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

// TestAllocationsDoNotGrowWithTheKeys limits the number of allocations that decode makes for a
// response. The message struct itself is already allocated.
func TestAllocationsDoNotGrowWithTheKeys(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    proto.Message
		most float64
	}{
		{"empty range", testRange(0, 0), 1},
		{"get", testRange(1, 256), 2},
		{"range of 100", testRange(100, 256), 4},
		{"range of 1,000", testRange(1000, 256), 20},
		{"range of 10,000", testRange(10_000, 1024), 460},
		{"put", &pb.PutResponse{Header: testHeader()}, 1},
		{"keepalive", &pb.LeaseKeepAliveResponse{Header: testHeader()}, 1},
		{"an event", testWatch(1, 256, false), 2},
		{"100 events", testWatch(100, 256, false), 6},
		{"100 events with previous values", testWatch(100, 256, true), 12},
		{"transaction of 3", testTxn(), 7},
	} {
		data := inPieces(encode(t, tc.m), frame)
		m := newLike(tc.m)
		allocs := testing.AllocsPerRun(10, func() { require.True(t, decode(data, m)) })
		assert.LessOrEqual(t, allocs, tc.most, tc.name)
	}
}
