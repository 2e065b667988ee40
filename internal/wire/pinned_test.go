package wire

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// part is a piece of memory that belongs to a decoded response. A weak pointer shows whether the
// garbage collector has freed it.
type part struct {
	alive func() bool
	bytes int
}

func partAt[T any](p *T, bytes int) part {
	weakly := weak.Make(p)
	return part{func() bool { return weakly.Value() != nil }, bytes}
}

func partsOfPair(kv *mvccpb.KeyValue) []part {
	parts := []part{partAt(kv, int(unsafe.Sizeof(*kv)))}
	for _, b := range [][]byte{kv.Key, kv.Value} {
		if len(b) > 0 {
			parts = append(parts, partAt(&b[0], len(b)))
		}
	}
	return parts
}

func partsOfEvent(e *mvccpb.Event) []part {
	parts := append(partsOfPair(e.Kv), partAt(e, int(unsafe.Sizeof(*e))))
	if e.PrevKv != nil {
		parts = append(parts, partsOfPair(e.PrevKv)...)
	}
	return parts
}

// parts are the pieces of memory of one decoded response.
type parts struct {
	shared []part   // the message, its header, and its slice of pairs or events
	items  [][]part // the parts of each pair or event
}

func partsOfRange(m *pb.RangeResponse) parts {
	p := parts{shared: []part{partAt(m, 0), partAt(m.Header, 0), partAt(&m.Kvs[0], 0)}}
	for _, kv := range m.Kvs {
		p.items = append(p.items, partsOfPair(kv))
	}
	return p
}

func partsOfWatch(m *pb.WatchResponse) parts {
	p := parts{shared: []part{partAt(m, 0), partAt(m.Header, 0), partAt(&m.Events[0], 0)}}
	for _, e := range m.Events {
		p.items = append(p.items, partsOfEvent(e))
	}
	return p
}

// TestAKeptItemPinsFewOthers: if a program retains one pair or event of a response, the garbage
// collector frees nearly all of the rest. Weak pointers show what it has freed.
func TestAKeptItemPinsFewOthers(t *testing.T) {
	for _, tc := range []struct {
		items, size int
		prev        bool
	}{
		{2, 40_000, false}, {140, 8, true}, {3000, 0, false}, {2000, 16, false},
		{1000, 256, true}, {500, 1024, false}, {300, 5000, true}, {50, 33_000, false},
	} {
		t.Run(fmt.Sprintf("%+v", tc), func(t *testing.T) {
			pinned(t, testRange(tc.items, tc.size), partsOfRange,
				func(m *pb.RangeResponse, i int) any { return m.Kvs[i] })
			m := testWatch(tc.items, tc.size, tc.prev)
			pinned(t, m, partsOfWatch,
				func(m *pb.WatchResponse, i int) any { return m.Events[i] })
			pinned(t, m, partsOfWatch,
				func(m *pb.WatchResponse, i int) any { return m.Events[i].Kv })
		})
	}
}

// pinned decodes m, and retains only the item of the result that the parameter keep returns. Then
// the garbage collector must free the message, its slice of items, and the other items. At most
// maxPinned bytes of the other items may stay.
func pinned[M any, P interface {
	*M
	proto.Message
}](t *testing.T, m P, look func(m P) parts, keep func(m P, i int) any) {
	t.Helper()
	decoded := P(new(M))
	require.True(t, decode(inPieces(encode(t, m), frame), decoded))
	found := look(decoded)
	own := len(found.items) / 2
	kept := keep(decoded, own)
	runtime.GC()
	runtime.GC()
	for i, p := range found.shared {
		assert.False(t, p.alive(), "shared part %d", i)
	}
	others := 0
	for _, p := range slices.Concat(slices.Delete(found.items, own, own+1)...) {
		if p.alive() {
			others += p.bytes
		}
	}
	t.Logf("%d bytes of other items are kept", others)
	assert.LessOrEqual(t, others, maxPinned)
	runtime.KeepAlive(kept)
}
