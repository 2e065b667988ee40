package keytree

import (
	"encoding/binary"
	"sort"
	"strings"
)

// The limits of how many entries a node has.
const (
	most   = 61 // the greatest number of entries; with it a node takes 1 KiB
	few    = 16 // a node that a deletion leaves with fewer entries is joined with a neighbour
	joined = 48 // but only if the two nodes together have at most this many entries
)

// node is a leaf or an inner node of the tree. The documentation of the package has its invariants.
// A head is a number made of the first bytes of an entry's key after the prefix.
//
// The heads and the pairs are arrays in the node, not slices. So a search rarely has to wait for
// other memory.
type node struct {
	below   *below // the children; nil in a leaf
	size    int    // how many pairs are in the node or below it
	entries int
	// prefix is what all keys in and below the node begin with. It is a copy, so that it keeps no
	// pair in memory.
	prefix string
	edit   uint64 // the number of the Editor that has made the node; 0 if there is none
	heads  [most]uint64
	pairs  [most]*Pair // the pairs of a leaf; empty in an inner node
}

// below is the part of an inner node that a leaf does not have: its children.
type below struct {
	lows     []string // lows[i] is a lower bound of the keys below children[i]
	children []*node
	ends     []int // ends[i] is how many pairs are below the children 0 to i together
}

// head returns a number for the rest of a key: its bytes from the index skip on. Of two keys that
// begin with the same skip bytes, the one with the lower head is lower.
//
// The upper 7 bytes of the head are the first 7 bytes of the rest, padded with zeros. The lowest
// byte is the length of the rest, or the constant more if that length is greater than 7.
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

// isWhole reports whether a head has all bytes of the key after the node's prefix. Two keys with
// the same prefix and the same whole head are equal.
func isWhole(head uint64) bool { return head&0xff != more }

// common returns the length of the longest common prefix of two keys.
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

// leaf returns a new leaf with the given pairs, of which there must be at least one.
func leaf(pairs []*Pair) *node {
	n := &node{size: len(pairs), entries: len(pairs)}
	copy(n.pairs[:], pairs)
	n.makeHeads()
	return n
}

// inner returns a new inner node with the given children, of which there must be at least one.
// lows[i] is a lower bound of the keys below children[i]. The node keeps both slices.
func inner(lows []string, children []*node) *node {
	n := &node{entries: len(children), below: &below{lows: lows, children: children}}
	n.makeHeads()
	n.count()
	return n
}

// makeHeads sets the prefix and the heads of n from the keys of its entries.
func (n *node) makeHeads() {
	first := n.key(0)
	n.prefix = strings.Clone(first[:common(first, n.last())])
	for i := range n.entries {
		n.heads[i] = head(n.key(i), len(n.prefix))
	}
}

// count sets n.size to the number of pairs below n, and n.below.ends[i] to the number of pairs
// below the children 0 to i.
func (n *node) count() {
	n.size, n.below.ends = 0, make([]int, n.entries)
	for i, child := range n.below.children {
		n.size += child.size
		n.below.ends[i] = n.size
	}
}

// before returns how many pairs are below the children 0 to i-1 together.
func (n *node) before(i int) int {
	if i == 0 {
		return 0
	}
	return n.below.ends[i-1]
}

// key returns the key of entry i. In a leaf this is the key of pair i. In an inner node it is the
// low of child i: a lower bound of the keys below this child.
func (n *node) key(i int) string {
	if n.below != nil {
		return n.below.lows[i]
	}
	return Key(n.pairs[i].Key)
}

// last returns the greatest key below n.
func (n *node) last() string {
	for n.below != nil {
		n = n.below.children[n.entries-1]
	}
	return n.key(n.entries - 1)
}

// shares reports whether a key begins with the prefix of the node.
func (n *node) shares(key string) bool { return strings.HasPrefix(key, n.prefix) }

// floor returns the index of the last entry whose key is at most the given key, or -1. found
// reports whether this entry has exactly the given key. The given key must begin with the prefix of
// the node.
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

// upper returns how many heads of the node are at most h. It first looks at every eighth head, and
// then at the eight heads among which the answer lies.
//
// The processor can do these comparisons at the same time. In a binary search, each step would have
// to wait for the step before it.
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

// find returns the index of the last entry whose key is at most the given key, or -1. found reports
// whether this entry has exactly the given key. Unlike floor, find accepts a key that does not
// begin with the prefix of the node.
func (n *node) find(key string) (i int, found bool) {
	switch {
	case n.shares(key):
		return n.floor(key)
	case key < n.prefix:
		return -1, false
	}
	return n.entries - 1, false
}
