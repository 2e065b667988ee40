package watchindex

import "math/rand/v2"

// node is one distinct range in a treap, which is ordered by start and end, and a heap by priority:
// so its depth is logarithmic, whatever the order of insertion. Each node knows the greatest end
// below it, so that a search leaves out what ends before the key. A nil node is an empty tree.
type node[T any] struct {
	start, end  string
	greatest    string // the greatest end of the node and of those below it
	priority    uint32
	left, right *node[T]
	items       *Item[T] // the first item; never nil, except while it is added
}

// above reports whether an end of a range is behind key.
func above(end, key string) bool { return end == ToEnd || key < end }

// later returns the greater one of two ends.
func later(a, b string) string {
	if a == ToEnd || b != ToEnd && a > b {
		return a
	}
	return b
}

// compare orders a node before, at or after a range.
func (n *node[T]) compare(start, end string) int {
	switch {
	case n.start < start:
		return -1
	case n.start > start:
		return 1
	case n.end < end:
		return -1
	case n.end > end:
		return 1
	}
	return 0
}

// measure computes anew what the node knows of those below it.
func (n *node[T]) measure() {
	n.greatest = n.end
	if n.left != nil {
		n.greatest = later(n.greatest, n.left.greatest)
	}
	if n.right != nil {
		n.greatest = later(n.greatest, n.right.greatest)
	}
}

// insert returns the tree with a node for a range, and that node, which may have been there.
func (n *node[T]) insert(start, end string) (root, added *node[T]) {
	if n == nil {
		n = &node[T]{start: start, end: end, greatest: end, priority: rand.Uint32()}
		return n, n
	}
	switch order := n.compare(start, end); {
	case order == 0:
		return n, n
	case order > 0:
		n.left, added = n.left.insert(start, end)
		if n.left.priority > n.priority {
			n = n.rotateRight()
		}
	default:
		n.right, added = n.right.insert(start, end)
		if n.right.priority > n.priority {
			n = n.rotateLeft()
		}
	}
	n.measure()
	return n, added
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

// find returns the node of a range, or nil.
func (n *node[T]) find(start, end string) *node[T] {
	for n != nil {
		switch order := n.compare(start, end); {
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

// remove returns the tree without the node of a range.
func (n *node[T]) remove(start, end string) *node[T] {
	if n == nil {
		return nil
	}
	switch order := n.compare(start, end); {
	case order == 0:
		return join(n.left, n.right)
	case order > 0:
		n.left = n.left.remove(start, end)
	default:
		n.right = n.right.remove(start, end)
	}
	n.measure()
	return n
}

// join returns one tree of two, all of whose nodes are in order.
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
func (n *node[T]) each(key string, f func(T)) {
	if n == nil || !above(n.greatest, key) {
		return
	}
	n.left.each(key, f)
	if n.start > key {
		return
	}
	if above(n.end, key) {
		for it := n.items; it != nil; it = it.next {
			f(it.Value)
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
