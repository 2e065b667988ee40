package keytree

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// model has the pairs that a tree should have, by key.
type model map[string]*Pair

func (m model) keys() []string { return slices.Sorted(maps.Keys(m)) }

// kinds are ways to make keys out of a number.
var kinds = map[string]func(n int) string{
	"digits":       func(n int) string { return fmt.Sprintf("k/%06d", n) },
	"long common":  func(n int) string { return fmt.Sprintf("a/%s/%d", strings.Repeat("x", n%3*9), n) },
	"zero bytes":   func(n int) string { return strings.Repeat("\x00", n%40) + fmt.Sprint(n/40) },
	"one in one":   func(n int) string { return strings.Repeat("q", n%700) },
	"binary":       func(n int) string { return string([]byte{byte(n * 7), byte(n / 256), 255}) },
	"equal heads":  func(n int) string { return "12345678" + "same8byt"[:n%9] + fmt.Sprint(n) },
	"short and no": func(n int) string { return fmt.Sprintf("%x", n)[:min(n%5, len(fmt.Sprintf("%x", n)))] },
}

// TestTreeIsAsItsModel makes random changes, and compares each new tree with a map. The older
// trees, which share nodes with the new one, must not change.
func TestTreeIsAsItsModel(t *testing.T) {
	for kind, key := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3) {
				r := rand.New(rand.NewPCG(seed, 1))
				tree, m := begun(r, key, r.IntN(3)*900)
				for phase := range 8 {
					before, was := tree, maps.Clone(m)
					for edited := 0; edited < 500; {
						e, between, then := Editor{tree: tree}, tree, maps.Clone(m)
						if r.IntN(3) > 0 {
							e = tree.Edit()
						}
						for range 1 + r.IntN(100) {
							step(r, &e, m, key, phase%2 == 1)
							edited++
						}
						tree = e.Tree()
						same(t, between, then)
					}
					same(t, before, was)
					same(t, tree, m)
					questions(t, r, tree, m, key)
					difference(t, before, was, tree, m)
				}
			}
		})
	}
}

// begun returns a tree of at most n keys, which were added in pages by Append.
func begun(r *rand.Rand, key func(int) string, n int) (Tree, model) {
	m := model{}
	for i := range n {
		m[key(i*3)] = &Pair{Key: []byte(key(i * 3))}
	}
	var tree Tree
	keys := m.keys()
	if r.IntN(3) == 0 {
		r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	for len(keys) > 0 {
		var page []*Pair
		for _, k := range keys[:min(len(keys), 1+r.IntN(200))] {
			page = append(page, m[k])
		}
		keys = keys[len(page):]
		tree = tree.Append(page)
	}
	return tree, m
}

// step sets a key, or deletes one.
func step(r *rand.Rand, e *Editor, m model, key func(int) string, shrinks bool) {
	k := key(r.IntN(3000))
	if r.IntN(10) < 7 != shrinks {
		m[k] = &Pair{Key: []byte(k)}
		e.Set(m[k])
		return
	}
	if len(m) > 0 && r.IntN(4) > 0 {
		i := r.IntN(len(m))
		k = string(e.tree.Slice(i, i+1)[0].Key)
	}
	delete(m, k)
	e.Delete(k)
}

// same fails unless the tree has exactly the pairs of the model m, and is sound.
func same(t *testing.T, tree Tree, m model) {
	t.Helper()
	require.Equal(t, len(m), tree.Len())
	all := tree.Slice(0, tree.Len())
	for i, k := range m.keys() {
		if m[k] != all[i] || m[k] != tree.Get(k) {
			t.Fatalf("key %q: %p, in a list %p, by Get %p", k, m[k], all[i], tree.Get(k))
		}
	}
	if tree.root != nil {
		sound(t, tree.root)
	}
}

// sound checks the invariants of a node, and returns its height.
func sound(t *testing.T, n *node) int {
	t.Helper()
	entries, heads := n.entries, n.heads[:n.entries]
	require.True(t, entries > 0 && entries <= most, "%d entries", entries)
	require.True(t, slices.IsSorted(heads))
	for i := range entries {
		if !n.shares(n.key(i)) || head(n.key(i), len(n.prefix)) != n.heads[i] ||
			i > 0 && n.key(i-1) >= n.key(i) {
			t.Fatalf("entry %d, key %q, head %x", i, n.key(i), n.heads[i])
		}
	}
	if n.below == nil {
		require.NotContains(t, n.pairs[:entries], (*Pair)(nil))
		require.Equal(t, entries, n.size)
		return 0
	}
	size, height := 0, sound(t, n.below.children[0])
	for i, child := range n.below.children {
		require.Equal(t, height, sound(t, child))
		require.LessOrEqual(t, n.below.lows[i], child.key(0))
		require.True(t, n.shares(child.last()))
		require.True(t, i == 0 || n.below.children[i-1].last() < n.below.lows[i])
		size += child.size
		require.Equal(t, size, n.below.ends[i])
	}
	require.Equal(t, size, n.size)
	return height + 1
}

// questions compares what the methods of the tree return with the model, for keys that are in the
// tree and for others.
func questions(t *testing.T, r *rand.Rand, tree Tree, m model, key func(int) string) {
	t.Helper()
	keys := m.keys()
	for range 200 {
		k := key(r.IntN(4000)) + []string{"", "\x00", "0", "\xff"}[r.IntN(4)]
		k = k[:len(k)-min(len(k), r.IntN(2)*r.IntN(5))]
		require.Same(t, m[k], tree.Get(k))
		rank, _ := slices.BinarySearch(keys, k)
		require.Equal(t, rank, tree.Rank(k))
		to := rank + r.IntN(len(keys)-rank+1)
		var seen []string
		stop := 1 + r.IntN(300)
		whole := tree.Each(rank, to, func(kv *Pair) bool {
			seen = append(seen, string(kv.Key))
			return len(seen) != stop
		})
		require.Equal(t, len(seen) != stop, whole)
		if rank+stop < to {
			to = rank + stop
		}
		require.Equal(t, to-rank, len(seen))
		require.True(t, slices.Equal(keys[rank:to], seen))
	}
}

// difference compares what Diff finds with the difference of the models.
func difference(t *testing.T, a Tree, before model, b Tree, after model) {
	t.Helper()
	left := maps.Clone(before)
	lastKey := ""
	Diff(a, b, func(old, new *Pair) {
		k := string(max(Key(old.GetKey()), Key(new.GetKey())))
		require.True(t, lastKey == "" || lastKey < k, "order")
		lastKey = k
		require.Same(t, before[k], old)
		require.Same(t, after[k], new)
		require.NotSame(t, old, new)
		delete(left, k)
		if new != nil {
			left[k] = new
		}
	})
	require.True(t, maps.Equal(left, after))
}

// TestTreeOfFewIsSmall shows that nodes are joined when most keys are deleted.
func TestTreeOfFewIsSmall(t *testing.T) {
	tree, m := begun(rand.New(rand.NewPCG(1, 1)), kinds["digits"], 20_000)
	for i, k := range m.keys() {
		if i%20 != 0 {
			delete(m, k)
			tree = tree.Delete(k)
		}
	}
	same(t, tree, m)
	require.Less(t, len(leaves(nil, tree.root)), tree.Len()*3/most)
}

// TestDiffSkipsWhatIsShared shows that Diff reads only the leaves that the two trees do not share.
func TestDiffSkipsWhatIsShared(t *testing.T) {
	tree, m := begun(rand.New(rand.NewPCG(1, 1)), kinds["digits"], 5_000)
	for _, n := range leaves(nil, tree.root)[3:] {
		for _, kv := range n.pairs[:n.size] {
			defer func(key []byte) { kv.Key = key }(kv.Key)
			kv.Key = nil // if Diff read this pair, it would find the keys out of order
		}
	}
	k := m.keys()[5]
	changes := 0
	Diff(tree, tree.Set(&Pair{Key: []byte(k)}), func(old, _ *Pair) {
		changes++
		require.Equal(t, k, string(old.Key))
	})
	require.Equal(t, 1, changes)
}

// TestLastKeysCanBeDeleted deletes the last keys of trees whose last inner node has only one child.
// Lists of certain lengths build such trees.
func TestLastKeysCanBeDeleted(t *testing.T) {
	for _, n := range []int{most*most + 10, most*most + most*20} {
		tree, m := Tree{}, model{}
		var kvs []*Pair
		for i := range n {
			kv := &Pair{Key: fmt.Appendf(nil, "k/%06d", i)}
			kvs, m[string(kv.Key)] = append(kvs, kv), kv
		}
		tree = tree.Append(kvs)
		for i := n - 1; i >= most*most-most; i-- {
			tree = tree.Delete(string(kvs[i].Key))
			delete(m, string(kvs[i].Key))
			if i%50 == 0 {
				same(t, tree, m)
			}
		}
		same(t, tree, m)
	}
}
