// Package watchindex finds, among many watched keys and ranges, those that contain a given key. It
// is pure data without a lock: only one goroutine at a time may use an Index.
package watchindex

// ToEnd is the end of a range that has no upper end, as in the protocol of etcd.
const ToEnd = "\x00"

// Index is a set of items, each of which watches a key or a range. The zero Index is empty.
type Index[T any] struct {
	keys   map[string]*Item[T] // by key: the first of the items that watch only this key
	ranges *node[T]
	size   int
}

// Item is one watched key or range, with a value that the caller attaches to it. An Item must not
// be copied.
type Item[T any] struct {
	Value      T      // the value that the caller attaches
	key, end   string // the watched range; end is empty if a single key is watched
	prev, next *Item[T]
}

// Key returns the watched key, or the first key of the watched range.
func (it *Item[T]) Key() string { return it.key }

// End returns the first key after the watched range. It returns ToEnd if the range has no upper
// end, and "" if a single key is watched.
func (it *Item[T]) End() string { return it.end }

// Len returns the number of items in the index.
func (x *Index[T]) Len() int { return x.size }

// NewItem returns an item that watches the keys k with key <= k < end. If end is empty, the item
// watches the single key. If end is ToEnd, there is no upper end.
func NewItem[T any](key, end string, value T) *Item[T] {
	return &Item[T]{Value: value, key: key, end: end}
}

// Add adds an item, which must not be in any index.
func (x *Index[T]) Add(it *Item[T]) {
	x.size++
	if it.end != "" {
		x.ranges = x.ranges.insert(it)
		return
	}
	if x.keys == nil {
		x.keys = make(map[string]*Item[T])
	}
	x.keys[it.key] = it.before(x.keys[it.key])
}

// before puts the item at the front of a linked list, and returns the item. The parameter first is
// the first item of the list so far, or nil.
func (it *Item[T]) before(first *Item[T]) *Item[T] {
	it.prev, it.next = nil, first
	if first != nil {
		first.prev = it
	}
	return it
}

// Remove removes an item, which must be in this index.
func (x *Index[T]) Remove(it *Item[T]) {
	x.size--
	first := it.prev == nil
	if it.next != nil {
		it.next.prev = it.prev
	}
	if !first {
		it.prev.next = it.next
	}
	switch {
	case !first:
	case it.end != "" && it.next != nil:
		x.ranges.find(it).items = it.next
	case it.end != "":
		x.ranges = x.ranges.remove(it)
	case it.next != nil:
		x.keys[it.key] = it.next
	default:
		delete(x.keys, it.key)
	}
	it.prev, it.next = nil, nil
}

// Each calls f for each item that watches the given key, alone or in a range.
func (x *Index[T]) Each(key string, f func(*Item[T])) {
	for it := x.keys[key]; it != nil; it = it.next {
		f(it)
	}
	x.ranges.each(key, f)
}

// All returns all items, in no particular order.
func (x *Index[T]) All() []*Item[T] {
	all := make([]*Item[T], 0, x.size)
	for _, it := range x.keys {
		for ; it != nil; it = it.next {
			all = append(all, it)
		}
	}
	return x.ranges.all(all)
}
