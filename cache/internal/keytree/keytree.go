package keytree

import (
	"iter"
	"unsafe"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/fair"
)

// Pair is a key with what etcd has of it. A pair in a tree must not be changed.
type Pair = mvccpb.KeyValue

// Tree is an immutable map from keys to pairs. The zero Tree is empty.
type Tree struct{ root *node }

// Key returns a key as a string that shares the bytes of the pair. That is safe because a pair is
// never changed once it has been received, and it spares a copy of every key.
func Key(key []byte) string { return unsafe.String(unsafe.SliceData(key), len(key)) }

// Len returns the number of pairs.
func (t Tree) Len() int {
	if t.root == nil {
		return 0
	}
	return t.root.size
}

// Get returns the pair of a key, or nil if there is none.
func (t Tree) Get(key string) *Pair {
	n := t.root
	if n == nil {
		return nil
	}
	// A key of the tree begins with the prefix of each node above it, as floor demands. Any other
	// key may lead to any leaf, and floor may find it there although it does not begin with the
	// leaf's prefix.
	for n.below != nil {
		i, _ := n.floor(key)
		if i < 0 {
			return nil
		}
		n = n.below.children[i]
	}
	if i, found := n.floor(key); found && n.shares(key) {
		return n.pairs[i]
	}
	return nil
}

// Rank returns how many keys of the tree are lower than key.
func (t Tree) Rank(key string) int {
	rank, n := 0, t.root
	for n != nil {
		i, found := n.find(key)
		if n.below == nil {
			if !found {
				i++
			}
			return rank + i
		}
		if i < 0 {
			return rank
		}
		rank += n.before(i)
		n = n.below.children[i]
	}
	return rank
}

// NoEnd is the end of a range that has none.
const NoEnd = "\x00"

// Ranks returns the rank of the first key of a range, and that of the first key behind it. The
// range begins with the key from, and has the keys from there on that are lower than end.
func (t Tree) Ranks(from, end string) (first, behind int) {
	first, behind = t.Rank(from), t.Len()
	if end != NoEnd {
		behind = max(first, t.Rank(end))
	}
	return first, behind
}

// Range returns the pairs of the keys from the key from on that are lower than end, in order.
func (t Tree) Range(from, end string) iter.Seq[*Pair] {
	return func(yield func(*Pair) bool) {
		first, behind := t.Ranks(from, end)
		t.Each(first, behind, yield)
	}
}

// Each calls yield with the pairs whose rank is from or greater and less than to, in order, until
// yield returns false. It reports whether yield has always returned true. Now and then it lets
// other goroutines run.
func (t Tree) Each(from, to int, yield func(*Pair) bool) bool {
	if from >= to {
		return true
	}
	loop := fair.Start()
	return t.root.each(from, to, func(pairs []*Pair) bool {
		for _, kv := range pairs {
			if !yield(kv) {
				return false
			}
		}
		loop.Did(len(pairs))
		return true
	})
}

// Slice returns the pairs whose rank is from or greater and less than to, in order, in a slice that
// is the caller's.
func (t Tree) Slice(from, to int) []*Pair {
	if from >= to {
		return nil
	}
	all := make([]*Pair, 0, to-from)
	t.root.each(from, to, func(pairs []*Pair) bool {
		all = append(all, pairs...)
		return true
	})
	return all
}

// each calls yield with parts of leaves, one after another, as Each does with pairs.
func (n *node) each(from, to int, yield func([]*Pair) bool) bool {
	if n.below == nil {
		return yield(n.pairs[from:to])
	}
	for i, child := range n.below.children {
		first := n.before(i)
		if first >= to {
			break
		}
		if n.below.ends[i] > from &&
			!child.each(max(from-first, 0), min(to-first, child.size), yield) {
			return false
		}
	}
	return true
}

// Diff calls f for each key that one of the trees has not, or for which they have different
// pointers, in order. A pair that is missing is nil. Leaves that the trees share take no time.
func Diff(a, b Tree, f func(old, new *Pair)) {
	left, right := leaves(nil, a.root), leaves(nil, b.root)
	i, j := 0, 0 // places in left[0] and right[0]
	for len(left) > 0 || len(right) > 0 {
		order := 0
		switch {
		case len(left) == 0:
			order = 1
		case len(right) == 0:
			order = -1
		case i == 0 && j == 0 && left[0] == right[0]:
			left, right = left[1:], right[1:]
			continue
		default:
			order = compare(left[0].pairs[i], right[0].pairs[j])
		}
		var old, new *Pair
		if order <= 0 {
			old, left, i = next(left, i)
		}
		if order >= 0 {
			new, right, j = next(right, j)
		}
		if old != new {
			f(old, new)
		}
	}
}

// next returns the pair at place i of the first leaf, and the place behind it.
func next(leaves []*node, i int) (*Pair, []*node, int) {
	kv := leaves[0].pairs[i]
	if i++; i < leaves[0].size {
		return kv, leaves, i
	}
	return kv, leaves[1:], 0
}

// leaves appends the leaves below a node to a list.
func leaves(list []*node, n *node) []*node {
	switch {
	case n == nil:
		return list
	case n.below == nil:
		return append(list, n)
	}
	for _, child := range n.below.children {
		list = leaves(list, child)
	}
	return list
}
