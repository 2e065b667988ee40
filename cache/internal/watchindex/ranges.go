package watchindex

import (
	"cmp"
	"math/rand/v2"
)

// node is one distinct range in a treap, with all items that watch exactly this range. A nil node
// is an empty tree.
//
// A treap is a search tree, here ordered by start and end, and also a heap ordered by random
// priorities. So its depth is logarithmic, whatever the order of insertion. Each node knows the
// greatest end of all ranges below it. So a search can leave out ranges that end before the wanted
// key.
type node[T any] struct {
	items       *Item[T] // the first of the items that watch this range; never nil
	greatest    string   // the greatest end of the ranges of this node and the nodes below it
	priority    uint32
	left, right *node[T]
}

// above reports whether key is lower than the end of a range, where ToEnd is above every key.
func above(end, key string) bool { return end == ToEnd || key < end }

// later returns the greater one of two ends of ranges, where ToEnd is the greatest.
func later(a, b string) string {
	if a == ToEnd || b != ToEnd && a > b {
		return a
	}
	return b
}

// compare returns a negative number if the range of the node comes before the range of the item, 0
// if the ranges are equal, and a positive number otherwise.
func (n *node[T]) compare(it *Item[T]) int {
	return cmp.Or(cmp.Compare(n.items.key, it.key), cmp.Compare(n.items.end, it.end))
}

// measure computes n.greatest from the range of the node and from its children.
func (n *node[T]) measure() {
	n.greatest = n.items.end
	if n.left != nil {
		n.greatest = later(n.greatest, n.left.greatest)
	}
	if n.right != nil {
		n.greatest = later(n.greatest, n.right.greatest)
	}
}

// insert adds an item to the tree below n, and returns the root of the resulting tree. If no node
// has the range of the item, insert makes a node.
func (n *node[T]) insert(it *Item[T]) *node[T] {
	if n == nil {
		return &node[T]{items: it.before(nil), greatest: it.end, priority: rand.Uint32()}
	}
	switch order := n.compare(it); {
	case order == 0:
		n.items = it.before(n.items)
		return n
	case order > 0:
		n.left = n.left.insert(it)
		if n.left.priority > n.priority {
			n = n.rotateRight()
		}
	default:
		n.right = n.right.insert(it)
		if n.right.priority > n.priority {
			n = n.rotateLeft()
		}
	}
	n.measure()
	return n
}

func (n *node[T]) rotateRight() *node[T] {
	l := n.left
	n.left, l.right = l.right, n
	n.measure()
	return l
}

func (n *node[T]) rotateLeft() *node[T] {
	r := n.right
	n.right, r.left = r.left, n
	n.measure()
	return r
}

// find returns the node that has the range of an item, or nil.
func (n *node[T]) find(it *Item[T]) *node[T] {
	for n != nil {
		switch order := n.compare(it); {
		case order == 0:
			return n
		case order > 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil
}

// remove removes the node that has the range of an item from the tree below n, and returns the root
// of the resulting tree.
func (n *node[T]) remove(it *Item[T]) *node[T] {
	if n == nil {
		return nil
	}
	switch order := n.compare(it); {
	case order == 0:
		return join(n.left, n.right)
	case order > 0:
		n.left = n.left.remove(it)
	default:
		n.right = n.right.remove(it)
	}
	n.measure()
	return n
}

// join joins two trees and returns the root. All ranges of left must come before all ranges of
// right.
func join[T any](left, right *node[T]) *node[T] {
	switch {
	case left == nil:
		return right
	case right == nil:
		return left
	case left.priority > right.priority:
		left.right = join(left.right, right)
		left.measure()
		return left
	}
	right.left = join(left, right.left)
	right.measure()
	return right
}

// each calls f for each item below n whose range contains the given key.
func (n *node[T]) each(key string, f func(*Item[T])) {
	if n == nil || !above(n.greatest, key) {
		return
	}
	n.left.each(key, f)
	if n.items.key > key {
		return
	}
	if above(n.items.end, key) {
		for it := n.items; it != nil; it = it.next {
			f(it)
		}
	}
	n.right.each(key, f)
}

// all appends every item below n to the given slice, and returns the result.
func (n *node[T]) all(to []*Item[T]) []*Item[T] {
	if n == nil {
		return to
	}
	to = n.left.all(to)
	for it := n.items; it != nil; it = it.next {
		to = append(to, it)
	}
	return n.right.all(to)
}
