// Package watchindex finds, among any number of watched keys and ranges, those that a key is in. It
// is pure data: the caller has a lock, or a goroutine of its own.
package watchindex

// ToEnd is the end of a range without an end, as in the protocol of etcd.
const ToEnd = "\x00"

// Index holds items by the key or the range that they watch. The zero value is empty.
type Index[T any] struct {
	keys   map[string]*Item[T] // the first item of each key
	ranges *node[T]
	size   int
}

// Item is one watched key or range, with what the caller attaches to it. It must not be copied.
type Item[T any] struct {
	Value      T      // of the caller
	key, end   string // end is empty if one key is watched
	prev, next *Item[T]
}

// Key returns the watched key, or the first one of the range.
func (it *Item[T]) Key() string { return it.key }

// End returns the first key behind the range, ToEnd if it has no end, or "" if one key is watched.
func (it *Item[T]) End() string { return it.end }

// Len returns how many items the index holds.
func (x *Index[T]) Len() int { return x.size }

// NewItem returns an item for the keys from key up to, and without, end. An empty end stands for
// the one key, and ToEnd for all keys from key on.
func NewItem[T any](key, end string, value T) *Item[T] {
	return &Item[T]{Value: value, key: key, end: end}
}

// Add adds an item that is in no index.
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

// before puts the item in front of first, the first item of a list or nil, and returns the item.
func (it *Item[T]) before(first *Item[T]) *Item[T] {
	it.prev, it.next = nil, first
	if first != nil {
		first.prev = it
	}
	return it
}

// Remove removes an item that is in the index.
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

// Each calls f for each item whose key or range contains key.
func (x *Index[T]) Each(key string, f func(*Item[T])) {
	for it := x.keys[key]; it != nil; it = it.next {
		f(it)
	}
	x.ranges.each(key, f)
}

// All returns every item, in no order.
func (x *Index[T]) All() []*Item[T] {
	all := make([]*Item[T], 0, x.size)
	for _, it := range x.keys {
		for ; it != nil; it = it.next {
			all = append(all, it)
		}
	}
	return x.ranges.all(all)
}
