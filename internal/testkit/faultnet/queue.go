package faultnet

import (
	"sync"
	"time"
)

// chunk is a piece of one direction of a connection, or its end.
type chunk struct {
	data []byte
	at   time.Time // when it arrived
	end  ending
}

type ending int

const (
	notEnded ending = iota
	endEOF          // the sender half-closed
	endReset        // the sender is gone
)

// queue hands chunks from the reader of a direction to its writer. It holds up to maxQueued bytes
// and one chunk more.
type queue struct {
	ready, room chan struct{} // one token each: something to pop, room to push

	// guarded by mu
	mu     sync.Mutex
	chunks []chunk
	size   int
}

func newQueue() *queue {
	return &queue{ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// push waits for room; false means that done was closed first.
func (q *queue) push(c chunk, done <-chan struct{}) bool {
	for !q.tryPush(c) {
		select {
		case <-q.room:
		case <-done:
			return false
		}
	}
	return true
}

func (q *queue) tryPush(c chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.size >= maxQueued {
		return false
	}
	q.chunks = append(q.chunks, c)
	q.size += len(c.data)
	signal(q.ready)
	return true
}

// pop waits for a chunk; false means that done was closed first.
func (q *queue) pop(done <-chan struct{}) (chunk, bool) {
	for {
		if c, ok := q.tryPop(); ok {
			return c, true
		}
		select {
		case <-q.ready:
		case <-done:
			return chunk{}, false
		}
	}
}

func (q *queue) tryPop() (chunk, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.chunks) == 0 {
		return chunk{}, false
	}
	c := q.chunks[0]
	q.chunks[0] = chunk{}
	q.chunks = q.chunks[1:]
	q.size -= len(c.data)
	signal(q.room)
	return c, true
}

func signal(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
