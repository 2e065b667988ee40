package keytree

import (
	"slices"
	"strings"
)

// Set returns the tree with the pair kv added. If the tree has a pair with the same key, kv
// replaces that pair.
func (t Tree) Set(kv *Pair) Tree {
	e := Editor{tree: t}
	e.Set(kv)
	return e.tree
}

// Append returns the tree with the pairs kvs added. It is much faster than Set if kvs are in the
// order of their keys, and all of these keys are greater than the keys of the tree.
func (t Tree) Append(kvs []*Pair) Tree {
	switch {
	case len(kvs) == 0:
		return t
	case !t.precedes(kvs):
		for _, kv := range kvs {
			t = t.Set(kv)
		}
		return t
	case t.root == nil:
		return top(chunks(kvs))
	}
	return top(t.root.append(kvs))
}

// precedes reports whether kvs are in the order of their keys, and all of these keys are greater
// than the keys of the tree.
func (t Tree) precedes(kvs []*Pair) bool {
	for i, kv := range kvs[1:] {
		if compare(kvs[i], kv) >= 0 {
			return false
		}
	}
	return t.root == nil || t.root.last() < Key(kvs[0].Key)
}

// Delete returns the tree without the pair of a key. If the tree does not have the key, it returns
// an equal tree.
func (t Tree) Delete(key string) Tree {
	if t.root == nil {
		return t
	}
	n := t.root.delete(key)
	for n != nil && n.below != nil && n.entries == 1 {
		n = n.below.children[0]
	}
	return Tree{n}
}

// top makes the levels above the given nodes, which are all nodes of one level in order, and
// returns the tree.
func top(nodes []*node) Tree {
	for len(nodes) > 1 {
		nodes = groups(most, lowsOf(nodes), nodes)
	}
	return Tree{nodes[0]}
}

// chunks makes leaves of the given pairs, and returns the leaves in order. All leaves but the last
// are full.
func chunks(kvs []*Pair) (nodes []*node) {
	for part := range slices.Chunk(kvs, most) {
		nodes = append(nodes, leaf(part))
	}
	return nodes
}

// groups makes inner nodes with the given children, and returns these nodes in order. Each node has
// n children, but the last one may have fewer.
func groups(n int, lows []string, children []*node) (nodes []*node) {
	for i := 0; i < len(children); i += n {
		end := min(i+n, len(children))
		nodes = append(nodes, inner(slices.Clone(lows[i:end]), slices.Clone(children[i:end])))
	}
	return nodes
}

// lowsOf returns the low of each node: a lower bound of the keys below it. The low of a leaf is a
// copy of its first key, so that it does not keep that key's pair in memory.
func lowsOf(nodes []*node) []string {
	lows := make([]string, len(nodes))
	for i, n := range nodes {
		if lows[i] = n.key(0); n.below == nil {
			lows[i] = strings.Clone(lows[i])
		}
	}
	return lows
}

// append returns the nodes that replace n after the pairs kvs have been added at its end. n must be
// the last node of its level.
func (n *node) append(kvs []*Pair) []*node {
	if n.below == nil {
		return chunks(slices.Concat(n.pairs[:n.size], kvs))
	}
	last := n.entries - 1
	fresh := n.below.children[last].append(kvs)
	lows := slices.Concat(n.below.lows[:last+1], lowsOf(fresh[1:]))
	return groups(most, lows, slices.Concat(n.below.children[:last], fresh))
}

// set puts the pair kv below n, and returns the one or two nodes that replace n. If n has a pair
// with this key already, kv replaces that pair. The second node is nil if there is only one.
//
// set may change n and return it if the Editor with the number edit has made n.
func (n *node) set(key string, kv *Pair, edit uint64) (first, second *node) {
	i, found := n.find(key)
	switch {
	case n.below != nil:
		i = max(i, 0)
		first, second = n.below.children[i].set(key, kv, edit)
		return n.replace(i, key, first, second, edit)
	case found:
		same := n.own(edit)
		same.pairs[i] = kv
		return same, nil
	case n.size < most && n.shares(key):
		bigger := n.own(edit)
		copy(bigger.pairs[i+2:], bigger.pairs[i+1:n.size])
		copy(bigger.heads[i+2:], bigger.heads[i+1:n.size])
		bigger.pairs[i+1], bigger.heads[i+1] = kv, head(key, len(n.prefix))
		bigger.size, bigger.entries = bigger.size+1, bigger.entries+1
		return bigger, nil
	}
	pairs := slices.Insert(slices.Clone(n.pairs[:n.size]), i+1, kv)
	if len(pairs) <= most {
		return leaf(pairs), nil
	}
	half := len(pairs) / 2
	return leaf(pairs[:half]), leaf(pairs[half:])
}

// replace returns the one or two nodes that take the place of n after a set below its child i. The
// set was for the given key, and has replaced that child by the node child. If it has made a second
// node, this is the node next; otherwise next is nil.
//
// replace may change n and return it if the Editor with the number edit has made n.
func (n *node) replace(
	i int, key string, child, next *node, edit uint64,
) (first, second *node) {
	b := n.below
	if next == nil && key >= b.lows[0] && n.shares(key) {
		return n.withChild(i, child, edit), nil
	}
	fresh := []*node{child}
	if next != nil {
		fresh = append(fresh, next)
	}
	children := slices.Concat(b.children[:i], fresh, b.children[i+1:])
	lows := slices.Concat(b.lows[:i+1], lowsOf(fresh[1:]), b.lows[i+1:])
	if key < lows[0] {
		lows[0] = strings.Clone(key)
	}
	if len(children) <= most {
		return inner(lows, children), nil
	}
	halves := groups((len(children)+1)/2, lows, children)
	return halves[0], halves[1]
}

// withChild returns n with the node child in place of its child i. The low of the child i stays the
// same. If the Editor with the number edit has made n, withChild changes n itself; otherwise it
// changes a copy.
//
// It does not read the other children, because it would have to wait for their memory.
func (n *node) withChild(i int, child *node, edit uint64) *node {
	same := n.own(edit)
	b := same.below
	b.children[i] = child
	if grown := child.size - (b.ends[i] - n.before(i)); grown != 0 {
		b.ends = slices.Clone(b.ends)
		for j := i; j < len(b.ends); j++ {
			b.ends[j] += grown
		}
		same.size += grown
	}
	return same
}

// own returns a node that the Editor with the number edit may change. This is n itself if the
// Editor has made n, and otherwise a copy. If edit is 0, it is always a copy. The copy shares the
// slices lows and ends with n, so these two must not be changed.
func (n *node) own(edit uint64) *node {
	if edit != 0 && n.edit == edit {
		return n
	}
	same := *n
	same.edit = edit
	if n.below != nil {
		b := *n.below
		b.children = slices.Clone(b.children)
		same.below = &b
	}
	return &same
}

// delete returns the node that replaces n after a key has been deleted, or nil if no pair is left.
// If n does not have the key, it returns n.
func (n *node) delete(key string) *node {
	i, found := n.find(key)
	switch {
	case n.below != nil && i >= 0:
		return n.deleteBelow(i, key)
	case !found:
		return n
	case n.size == 1:
		return nil
	}
	fewer := *n
	fewer.size, fewer.entries, fewer.edit = n.size-1, n.entries-1, 0
	copy(fewer.pairs[i:], n.pairs[i+1:])
	copy(fewer.heads[i:], n.heads[i+1:])
	fewer.pairs[fewer.size] = nil
	return &fewer
}

// deleteBelow does the work of the method delete for an inner node. i is the index of the only
// child that may have the key.
func (n *node) deleteBelow(i int, key string) *node {
	lows, children := n.below.lows, n.below.children
	child := children[i].delete(key)
	switch {
	case child == children[i]:
		return n
	case child == nil && len(children) == 1:
		return nil
	case child == nil:
		return inner(without(lows, i), without(children, i))
	}
	if child.entries < few {
		children = slices.Clone(children)
		children[i] = child
		for _, left := range []int{max(i-1, 0), min(i, len(children)-2)} {
			if left >= 0 && left+1 < len(children) &&
				children[left].entries+children[left+1].entries <= joined {
				children[left] = join(children[left], children[left+1])
				return inner(without(lows, left+1), without(children, left+1))
			}
		}
	}
	return n.withChild(i, child, 0)
}

// join returns one node that has the entries of the node a, followed by those of the node b. The
// node b must be the next one after a.
func join(a, b *node) *node {
	if a.below == nil {
		return leaf(slices.Concat(a.pairs[:a.size], b.pairs[:b.size]))
	}
	return inner(slices.Concat(a.below.lows, b.below.lows),
		slices.Concat(a.below.children, b.below.children))
}

// without returns a copy of s without the element i.
func without[E any](s []E, i int) []E { return slices.Concat(s[:i], s[i+1:]) }
