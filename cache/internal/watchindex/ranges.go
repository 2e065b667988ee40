package watchindex

import (
	"cmp"
	"math/rand/v2"
)

// node is one distinct range in a treap, which is ordered by start and end, and a heap by priority:
// so its depth is logarithmic, whatever the order of insertion. Each node knows the greatest end
// below it, so that a search leaves out what ends before the key. A nil node is an empty tree.
type node[T any] struct {
	items       *Item[T] // the first item of the range, which all have; never nil
	greatest    string   // the greatest end of the node and of those below it
	priority    uint32
	left, right *node[T]
}

// above reports whether the end of a range lies behind key.
func above(end, key string) bool { return end == ToEnd || key < end }

// later returns the greater one of two ends.
func later(a, b string) string {
	if a == ToEnd || b != ToEnd && a > b {
		return a
	}
	return b
}

// compare returns a negative number, 0 or a positive one if the range of the node comes before that
// of the item, is the same, or comes after it.
func (n *node[T]) compare(it *Item[T]) int {
	return cmp.Or(cmp.Compare(n.items.key, it.key), cmp.Compare(n.items.end, it.end))
}

// measure computes the greatest end anew, from those of the node's children.
func (n *node[T]) measure() {
	n.greatest = n.items.end
	if n.left != nil {
		n.greatest = later(n.greatest, n.left.greatest)
	}
	if n.right != nil {
		n.greatest = later(n.greatest, n.right.greatest)
	}
}

// insert returns the tree with an item added to the node of its range. If there is no such node,
// insert makes one.
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

// find returns the node of an item's range, or nil.
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

// remove returns the tree without the node of an item's range.
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

// join returns one tree of the nodes of two. All nodes of left come before all nodes of right.
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

// each calls f for each item whose range contains key.
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

// all appends every item of the tree.
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
