package keytree

import (
	"encoding/binary"
	"sort"
	"strings"
)

// most is how many entries a node has at most: as many as make it take 1 KiB. A node that a
// deletion leaves with less than few entries is joined with a neighbour, if the two together have
// no more than joined.
const (
	most   = 62
	few    = 16
	joined = 48
)

// node is a leaf or an inner node. See the package's document for its invariants. Heads and pairs
// are part of it, so that a search has to wait for memory as rarely as possible.
type node struct {
	below   *below // nil in a leaf
	size    int    // the pairs in it or below it
	skip    int32  // how many bytes all keys have in common, at least
	entries int32
	heads   [most]uint64
	pairs   [most]*Pair // of a leaf
}

// below is what an inner node has of its children.
type below struct {
	lows     []string
	children []*node
	ends     []int // ends[i] is how many pairs the children up to i have
}

// head returns the 8 bytes of a key after the first skip ones as a number; those that it has not
// are zero.
func head(key string, skip int) uint64 {
	left := len(key) - skip
	switch {
	case left >= 8:
		return binary.BigEndian.Uint64([]byte(key[skip : skip+8]))
	case left <= 0:
		return 0
	case len(key) >= 8:
		return binary.BigEndian.Uint64([]byte(key[len(key)-8:])) << (8 * (8 - left))
	}
	var h [8]byte
	copy(h[:], key[skip:])
	return binary.BigEndian.Uint64(h[:])
}

// common returns how many bytes two keys have in common at their beginning.
func common(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func compare(a, b *Pair) int { return strings.Compare(Key(a.Key), Key(b.Key)) }

// leaf makes a leaf of at least one pair.
func leaf(pairs []*Pair) *node {
	n := &node{size: len(pairs), entries: int32(len(pairs))}
	copy(n.pairs[:], pairs)
	n.makeHeads()
	return n
}

// inner makes a node of at least one child. It keeps the slices.
func inner(lows []string, children []*node) *node {
	n := &node{entries: int32(len(children)), below: &below{lows: lows, children: children}}
	n.makeHeads()
	n.count()
	return n
}

// makeHeads finds what all keys have in common, and makes the heads.
func (n *node) makeHeads() {
	n.skip = int32(common(n.key(0), n.last()))
	for i := range int(n.entries) {
		n.heads[i] = head(n.key(i), int(n.skip))
	}
}

// count computes the running totals of the pairs below the children.
func (n *node) count() {
	n.size, n.below.ends = 0, make([]int, n.entries)
	for i, child := range n.below.children {
		n.size += child.size
		n.below.ends[i] = n.size
	}
}

// before returns how many pairs the children before i have.
func (n *node) before(i int) int {
	if i == 0 {
		return 0
	}
	return n.below.ends[i-1]
}

// key returns the key of an entry.
func (n *node) key(i int) string {
	if n.below != nil {
		return n.below.lows[i]
	}
	return Key(n.pairs[i].Key)
}

// last returns the greatest key below a node.
func (n *node) last() string {
	for n.below != nil {
		n = n.below.children[n.entries-1]
	}
	return n.key(int(n.entries) - 1)
}

// shares reports whether a key begins with what all keys of the node begin with.
func (n *node) shares(key string) bool {
	return len(key) >= int(n.skip) && key[:n.skip] == n.key(0)[:n.skip]
}

// floor returns the greatest entry whose key is not greater than key, or -1. The key must begin
// with what all keys of the node begin with.
func (n *node) floor(key string) int {
	h := head(key, int(n.skip))
	i := n.upper(h) - 1
	if i < 0 || n.heads[i] != h || n.key(i) <= key {
		return i
	}
	first := sort.Search(i, func(j int) bool { return n.heads[j] >= h })
	return first + sort.Search(i-first, func(j int) bool { return n.key(first+j) > key }) - 1
}

// upper returns how many of the heads are not greater than h. It looks at each eighth, and then at
// some that lie together. Neither has to wait for the one before, as the steps of a binary search
// have to.
func (n *node) upper(h uint64) int {
	const stride = 8
	entries := int(n.entries)
	i := 0
	for j := stride - 1; j < entries; j += stride {
		if n.heads[j] <= h {
			i += stride
		}
	}
	for j := i; j < min(i+stride, entries); j++ {
		if n.heads[j] <= h {
			i++
		}
	}
	return i
}

// find returns the greatest entry whose key is not greater than key, or -1, and whether its key is
// the given one. The key may be any.
func (n *node) find(key string) (i int, found bool) {
	if !n.shares(key) {
		if key < n.key(0) {
			return -1, false
		}
		return int(n.entries) - 1, false
	}
	i = n.floor(key)
	return i, i >= 0 && n.key(i) == key
}
