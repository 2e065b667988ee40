package outbox

import "sync"

// queue holds values and their sizes, first in, first out. The zero value is empty. A queue takes
// its memory in chunks from a pool that all outboxes of a group share. So a backlog that comes and
// goes makes no garbage.
type queue[T any] struct {
	first, last *chunk[T]
	head        int // the slot of the first value, in the first chunk
	tail        int // the slot after the last value, in the last chunk
	len         int
}

const chunkLen = 32

// chunk is a part of a queue. Slots without a value are zero.
type chunk[T any] struct {
	slots [chunkLen]sized[T]
	next  *chunk[T]
}

type sized[T any] struct {
	value T
	size  int
}

// push adds a value at the end.
func (q *queue[T]) push(v T, size int, pool *sync.Pool) {
	if q.last == nil || q.tail == chunkLen {
		c, ok := pool.Get().(*chunk[T])
		if !ok {
			c = new(chunk[T])
		}
		if q.last == nil {
			q.first = c
		} else {
			q.last.next = c
		}
		q.last, q.tail = c, 0
	}
	q.last.slots[q.tail] = sized[T]{v, size}
	q.tail++
	q.len++
}

// front returns the first value. The queue must not be empty.
func (q *queue[T]) front() *sized[T] { return &q.first.slots[q.head] }

// drop removes the first value, and clears its slot so that the value can be freed. A chunk that is
// no longer used returns to pool.
func (q *queue[T]) drop(pool *sync.Pool) {
	*q.front() = sized[T]{}
	q.head++
	q.len--
	if q.len > 0 && q.head < chunkLen {
		return
	}
	c := q.first
	q.first, q.head, c.next = c.next, 0, nil
	if q.first == nil {
		q.last = nil
	}
	pool.Put(c)
}
