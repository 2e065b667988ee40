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
	most   = 61
	few    = 16
	joined = 48
)

// node is a leaf or an inner node. See the package's document for its invariants. Heads and pairs
// are part of it, so that a search has to wait for memory as rarely as possible.
type node struct {
	below   *below // nil in a leaf
	size    int    // the pairs in it or below it
	entries int
	prefix  string // what all keys begin with; the node's own copy, which no pair shares
	heads   [most]uint64
	pairs   [most]*Pair // of a leaf
}

// below is what an inner node has of its children.
type below struct {
	lows     []string
	children []*node
	ends     []int // ends[i] is how many pairs the children up to i have
}

// head returns, as a number, the 7 bytes of a key that follow the first skip bytes, and in the
// lowest byte how many bytes follow. If fewer than 7 follow, zeros take the place of those that the
// key does not have. If more than 7 follow, the lowest byte is more.
func head(key string, skip int) uint64 {
	left := len(key) - skip
	switch {
	case left > 7:
		return binary.BigEndian.Uint64([]byte(key[skip:skip+8]))&^0xff | more
	case left <= 0:
		return 0
	case len(key) >= 8:
		return binary.BigEndian.Uint64([]byte(key[len(key)-8:]))<<(8*(8-left)) | uint64(left)
	}
	var h [8]byte
	copy(h[:], key[skip:])
	return binary.BigEndian.Uint64(h[:]) | uint64(left)
}

const more = 8

// isWhole reports whether a head has all bytes that follow the first skip ones. Two keys that begin
// with the same skip bytes and have the same whole head are equal.
func isWhole(head uint64) bool { return head&0xff != more }

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
	n := &node{size: len(pairs), entries: len(pairs)}
	copy(n.pairs[:], pairs)
	n.makeHeads()
	return n
}

// inner makes a node of at least one child. It keeps the slices.
func inner(lows []string, children []*node) *node {
	n := &node{entries: len(children), below: &below{lows: lows, children: children}}
	n.makeHeads()
	n.count()
	return n
}

// makeHeads finds what all keys begin with, and makes the heads.
func (n *node) makeHeads() {
	first := n.key(0)
	n.prefix = strings.Clone(first[:common(first, n.last())])
	for i := range n.entries {
		n.heads[i] = head(n.key(i), len(n.prefix))
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
	return n.key(n.entries - 1)
}

// shares reports whether a key begins with what all keys of the node begin with.
func (n *node) shares(key string) bool { return strings.HasPrefix(key, n.prefix) }

// floor returns the greatest entry whose key is not greater than key, or -1, and whether its key is
// the given one. The key must begin with what all keys of the node begin with.
func (n *node) floor(key string) (i int, found bool) {
	h := head(key, len(n.prefix))
	i = n.upper(h) - 1
	switch {
	case i < 0 || n.heads[i] != h:
		return i, false
	case isWhole(h):
		return i, true
	}
	if n.key(i) > key {
		first := sort.Search(i, func(j int) bool { return n.heads[j] >= h })
		i = first + sort.Search(i-first, func(j int) bool { return n.key(first+j) > key }) - 1
	}
	return i, i >= 0 && n.key(i) == key
}

// upper returns how many of the heads are not greater than h. It looks at each eighth, and then at
// some that lie together. Neither has to wait for the one before, as the steps of a binary search
// have to.
func (n *node) upper(h uint64) int {
	const stride = 8
	entries := n.entries
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

// find is floor for any key.
func (n *node) find(key string) (i int, found bool) {
	switch {
	case n.shares(key):
		return n.floor(key)
	case key < n.prefix:
		return -1, false
	}
	return n.entries - 1, false
}
