package keepalive

import (
	"container/heap"
	"time"
)

const (
	// stepsPerTTL is the smallest number of steps into which a TTL is divided; renewals are due at
	// the ends of steps. A short TTL has fewer steps, because no step is shorter than minStep.
	stepsPerTTL = 72
	minStep     = 10 * time.Millisecond
	// maxShare is the share of all leases that may be due at one instant, so that a server gets no
	// burst of renewals. If that share is less than minShare leases, minShare leases may be due.
	maxShare = 0.05
	minShare = 16
)

// step returns the length of the steps into which a TTL is divided. The length is minStep, doubled
// as long as at least stepsPerTTL of the doubled steps fit into the TTL. Each length is a multiple
// of all shorter lengths, so leases with different TTLs can be due at one instant.
func step(ttl time.Duration) time.Duration {
	d := minStep
	for d <= ttl/stepsPerTTL/2 {
		d *= 2
	}
	return d
}

// schedule holds each entry under the instant at which it next needs attention. The entries of one
// instant share a bucket. The heap changes only when a bucket is added or removed, so a schedule is
// cheap even with very many entries.
type schedule struct {
	byInstant map[instant]*bucket
	order     buckets // a heap, the earliest bucket on top
}

// bucket holds the entries that are scheduled for one instant, in any order. A bucket is never
// empty.
type bucket struct {
	at      instant
	entries []*entry
	index   int // the position in schedule.order
}

func newSchedule() schedule { return schedule{byInstant: make(map[instant]*bucket)} }

// first returns the earliest bucket, or nil if there is no entry.
func (s *schedule) first() *bucket {
	if len(s.order) == 0 {
		return nil
	}
	return s.order[0]
}

// put moves e to another instant. If e is not in the schedule yet, put adds e.
func (s *schedule) put(e *entry, at instant) {
	if e.bucket != nil && e.bucket.at == at {
		return
	}
	s.remove(e)
	b := s.byInstant[at]
	if b == nil {
		b = &bucket{at: at}
		s.byInstant[at] = b
		heap.Push(&s.order, b)
	}
	e.bucket, e.index = b, len(b.entries)
	b.entries = append(b.entries, e)
}

// remove takes e out of the schedule.
func (s *schedule) remove(e *entry) {
	b := e.bucket
	if b == nil {
		return
	}
	last := len(b.entries) - 1
	b.entries[e.index] = b.entries[last]
	b.entries[e.index].index = e.index
	b.entries[last] = nil // for the garbage collector
	b.entries = b.entries[:last]
	e.bucket = nil
	if last == 0 {
		delete(s.byInstant, b.at)
		heap.Remove(&s.order, b.index)
	}
}

// buckets implements heap.Interface.
type buckets []*bucket

func (h buckets) Len() int           { return len(h) }
func (h buckets) Less(i, j int) bool { return h[i].at < h[j].at }
func (h buckets) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *buckets) Push(x any) {
	b := x.(*bucket)
	b.index = len(*h)
	*h = append(*h, b)
}

// Pop implements heap.Interface.
func (h *buckets) Pop() any {
	old := *h
	b := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return b
}
