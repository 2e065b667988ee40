package watchindex_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/cache/internal/watchindex"
)

type span struct{ key, end string }

func (s span) contains(key string) bool {
	switch s.end {
	case "":
		return key == s.key
	case watchindex.ToEnd:
		return key >= s.key
	}
	return key >= s.key && key < s.end
}

// randomSpan returns one key, a range, or a range without an end. Keys and ranges come from a small
// set, so many spans overlap.
func randomSpan(r *rand.Rand) span {
	a, b := r.IntN(200), r.IntN(200)
	s := span{key: fmt.Sprintf("%03d", min(a, b))}
	switch r.IntN(4) {
	case 0:
		s.end = fmt.Sprintf("%03d", max(a, b)+1)
	case 1:
		s.end = fmt.Sprintf("%03d", min(a, b)+1+r.IntN(3))
	case 2:
		if r.IntN(5) == 0 {
			s.end = watchindex.ToEnd
		}
	}
	return s
}

// TestIndexFindsWhatASearchFinds adds and removes random spans of keys. For random keys, the index
// must find the same spans as a search through all of them.
func TestIndexFindsWhatASearchFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var x watchindex.Index[int]
	items := map[int]*watchindex.Item[int]{}
	spans := map[int]span{}
	for i := range 20000 {
		if len(items) > 0 && r.IntN(20) < 9 {
			for id, it := range items {
				require.Equal(t, spans[id], span{it.Key(), it.End()})
				x.Remove(it)
				delete(items, id)
				delete(spans, id)
				break
			}
		} else {
			s := randomSpan(r)
			spans[i], items[i] = s, watchindex.NewItem(s.key, s.end, i)
			x.Add(items[i])
		}
		if i%50 != 0 {
			continue
		}
		require.Equal(t, len(items), x.Len())
		require.Len(t, x.All(), len(items))
		key := fmt.Sprintf("%03d", r.IntN(201))
		var want, got []int
		for id, s := range spans {
			if s.contains(key) {
				want = append(want, id)
			}
		}
		x.Each(key, func(it *watchindex.Item[int]) { got = append(got, it.Value) })
		sort.Ints(want)
		sort.Ints(got)
		require.Equal(t, want, got, "what contains %s", key)
	}
}

// BenchmarkOtherKeys measures a search in an index of 100,000 keys and 100,000 prefixes. None of
// them contains the key that is searched for.
func BenchmarkOtherKeys(b *testing.B) {
	var x watchindex.Index[int]
	for i := range 100_000 {
		x.Add(watchindex.NewItem(fmt.Sprintf("key/%06d", i), "", i))
		x.Add(watchindex.NewItem(fmt.Sprintf("prefix/%06d/", i), fmt.Sprintf("prefix/%06d0", i), i))
	}
	for b.Loop() {
		x.Each("prefix/050000-other", func(*watchindex.Item[int]) { b.Fatal("found") })
	}
}

func ExampleIndex() {
	var x watchindex.Index[string]
	x.Add(watchindex.NewItem("a/", "a0", "the prefix a/"))
	x.Add(watchindex.NewItem("a/1", "", "the key a/1"))
	x.Add(watchindex.NewItem("b", watchindex.ToEnd, "all keys from b on"))
	x.Each("a/1", func(it *watchindex.Item[string]) { fmt.Println(it.Value) })
	// Output:
	// the key a/1
	// the prefix a/
}
