package keytree

import (
	"iter"
	"unsafe"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/fair"
)

// Pair is a key-value pair of etcd. A pair that is in a tree must not be changed.
type Pair = mvccpb.KeyValue

// Tree is an immutable map from keys to pairs. The zero Tree is empty.
type Tree struct{ root *node }

// Key returns the bytes of a pair's key as a string, without copying them. That is safe because a
// pair is never changed after it has been received.
func Key(key []byte) string { return unsafe.String(unsafe.SliceData(key), len(key)) }

// Len returns the number of pairs.
func (t Tree) Len() int {
	if t.root == nil {
		return 0
	}
	return t.root.size
}

// Get returns the pair of a key, or nil if the tree does not have the key.
func (t Tree) Get(key string) *Pair {
	n := t.root
	if n == nil {
		return nil
	}
	// floor compares only the bytes after a node's prefix. That is enough if the tree has the key,
	// because the key then begins with the prefix of each node on the way to it. Otherwise floor
	// may find a key with another prefix, so n.shares checks the prefix at the end.
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

// Rank returns how many keys of the tree are lower than the given key.
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

// NoEnd is the end of a range that has no upper end.
const NoEnd = "\x00"

// Ranks returns the ranks of the keys k with from <= k < end. They are the ranks r with first <= r
// < behind. The rank of a key is the number of lower keys in the tree. If end is NoEnd, the range
// has no upper end.
func (t Tree) Ranks(from, end string) (first, behind int) {
	first, behind = t.Rank(from), t.Len()
	if end != NoEnd {
		behind = max(first, t.Rank(end))
	}
	return first, behind
}

// Range returns the pairs with a key k such that from <= k < end, in order. If end is NoEnd, there
// is no upper end.
func (t Tree) Range(from, end string) iter.Seq[*Pair] {
	return func(yield func(*Pair) bool) {
		first, behind := t.Ranks(from, end)
		t.Each(first, behind, yield)
	}
}

// Each calls yield with each pair that has from <= rank < to, in order. The rank of a pair is the
// number of lower keys in the tree. If yield returns false, Each stops and returns false.
//
// Between pairs Each sometimes calls runtime.Gosched, so that a long loop does not keep other
// goroutines waiting.
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

// Slice returns a new slice of the pairs that have from <= rank < to, in order. The rank of a pair
// is the number of lower keys in the tree.
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

// each calls yield with the pairs below n, leaf by leaf: one slice for each leaf. Of all pairs
// below n, it takes those at the positions p with from <= p < to. It stops when yield returns
// false, and then returns false.
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

// Diff compares two trees, and calls f for each difference, in the order of the keys. A difference
// is a key that only one tree has, or for which the trees have different pointers to a pair. The
// arguments of f are the pair in tree a and the pair in tree b, or nil for a tree without the key.
//
// Leaves that both trees share are skipped as a whole.
func Diff(a, b Tree, f func(old, new *Pair)) {
	left, right := leaves(nil, a.root), leaves(nil, b.root)
	i, j := 0, 0 // positions in left[0] and right[0]
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

// next returns the pair at position i of leaves[0]. It also returns where the next pair is: the
// leaves from there on, and the position in the first of them.
func next(leaves []*node, i int) (*Pair, []*node, int) {
	kv := leaves[0].pairs[i]
	if i++; i < leaves[0].size {
		return kv, leaves, i
	}
	return kv, leaves[1:], 0
}

// leaves appends all leaf nodes below n to a list, in order, and returns the list.
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
