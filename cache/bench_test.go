package cache

import (
	"fmt"
	"testing"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
)

// filled returns a snapshot of n keys.
func filled(n int) (Snapshot, []string) {
	kvs, keys := make([]*pair, n), make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench/%010d", i)
		kvs[i] = &pair{Key: []byte(keys[i]), Value: make([]byte, 256)}
	}
	f := fill.New("bench/", 1, 1)
	f.Page(kvs, 1, false)
	t, _, _, _ := f.Whole()
	return Snapshot{view: &view{tree: t, revision: 1}}, keys
}

// BenchmarkSnapshotGet measures a get from memory at a random place.
func BenchmarkSnapshotGet(b *testing.B) {
	for _, n := range []int{10_000, 200_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, keys := filled(n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % n
				if _, ok := s.Get(keys[i]); !ok {
					b.Fatal("missing")
				}
			}
		})
	}
}

// TestGetAllocatesNothing shows that a get from a snapshot makes no garbage.
func TestGetAllocatesNothing(t *testing.T) {
	s, keys := filled(1000)
	if n := testing.AllocsPerRun(100, func() { s.Get(keys[500]) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
