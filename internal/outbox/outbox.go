package outbox

import "sync"

// Hooks are the methods of an Outbox's owner that the Outbox calls.
type Hooks[T any] interface {
	// Size returns the number of bytes that Post counts for v. It is called under the outbox's
	// mutex, once for each value that has to be queued. Values that fit into the channel at once
	// are not counted.
	Size(v T) int
	// Drained is called each time the queue has become empty while the outbox is open. The pump
	// (the goroutine that sends queued values) calls it without the mutex, just before the pump
	// exits. A Post may have started the next pump already.
	Drained()
	// Closed is called without the mutex, once, when the channel has been closed.
	Closed()
}

// Pumps is a group of outboxes. A pump is the goroutine that sends the queued values of one outbox.
// [Pumps.Close] ends the pumps of all outboxes of the group.
type Pumps struct {
	stop    chan struct{} // closed by Close
	running sync.WaitGroup
	chunks  sync.Pool // the chunks that no queue uses; all outboxes have the same type T
}

// NewPumps returns a group without outboxes.
func NewPumps() *Pumps { return &Pumps{stop: make(chan struct{})} }

// Close drops the queued values and ends the pumps, the goroutines that send these values. It waits
// for the pumps to end. It must be called once, after the last Post and Close of the group's
// outboxes.
func (p *Pumps) Close() {
	close(p.stop)
	p.running.Wait()
}

// Outbox sends values on one channel, in order, and queues those for which the channel has no room.
// It is made by [New]. It may be a field of another struct, and must not be copied after its first
// use. All methods are safe for concurrent use and none of them blocks.
type Outbox[T any] struct {
	// Read-only after New.
	ch    chan T
	hooks Hooks[T]
	pumps *Pumps

	// Guarded by mu.
	mu sync.Mutex
	// The pump is the goroutine that sends the queued values on ch. While it runs, no other
	// goroutine uses ch. backlog is nil while no pump runs.
	backlog *backlog[T]
	closed  bool // Close or Abort was called: Post drops values
	aborted bool // Abort was called while a pump ran
	gone    bool // the channel is closed
}

// backlog holds the fields that an outbox needs only while a pump, the goroutine that sends queued
// values, runs. Most outboxes have no pump, so these fields are allocated separately.
type backlog[T any] struct {
	// waiting holds the values for which the channel had no room, oldest first. The pump is sending
	// the first one.
	waiting queue[T]
	bytes   int           // the sum of the sizes of the waiting values
	stop    chan struct{} // ends the pump; closed by Abort only
}

// New returns an Outbox that sends on ch and closes ch. The Outbox belongs to the group pumps:
// [Pumps.Close] ends the goroutine that sends the Outbox's queued values. The parameter hooks may
// be nil.
func New[T any](ch chan T, hooks Hooks[T], pumps *Pumps) Outbox[T] {
	return Outbox[T]{ch: ch, hooks: hooks, pumps: pumps}
}

// Post delivers v after all values that were posted before. It drops v if the outbox is closed. It
// returns the number of values that are queued because the channel has no room, and their size in
// bytes.
func (o *Outbox[T]) Post(v T) (values, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.putLocked(v)
	}
	if o.backlog == nil {
		return 0, 0
	}
	return o.backlog.waiting.len, o.backlog.bytes
}

// Close posts the values in last, and closes the channel after all queued values were sent. It does
// not wait for that. If the consumer does not read, the pump (the goroutine that sends queued
// values) runs until Abort or [Pumps.Close]. If Close or Abort was called before, Close does
// nothing.
func (o *Outbox[T]) Close(last ...T) {
	o.mu.Lock()
	if !o.closed {
		for _, v := range last {
			o.putLocked(v)
		}
		o.closed = true
	}
	o.unlockClosing(o.backlog == nil)
}

// Abort drops the queued values and closes the channel, without waiting for the consumer. It also
// does so after Close, while queued values are still being sent. Values in the channel can still be
// received.
//
// If a pump (the goroutine that sends queued values) runs, the pump closes the channel soon after
// Abort has returned. Before that, it sends at most one more value.
func (o *Outbox[T]) Abort() {
	o.mu.Lock()
	o.closed = true
	if b := o.backlog; b != nil && !o.aborted {
		o.aborted = true
		b.waiting, b.bytes = queue[T]{}, 0
		close(b.stop)
	}
	o.unlockClosing(o.backlog == nil)
}

// unlockClosing closes the channel if the parameter end is true and the channel is open. It
// releases the mutex, and then calls Hooks.Closed if it has closed the channel.
func (o *Outbox[T]) unlockClosing(end bool) {
	closing := end && !o.gone
	if closing {
		o.gone = true
		close(o.ch)
	}
	o.mu.Unlock()
	if closing && o.hooks != nil {
		o.hooks.Closed()
	}
}

// putLocked sends v if no values are queued and the channel has room. Otherwise it queues v, and
// starts a pump, the goroutine that sends queued values, if no pump runs.
func (o *Outbox[T]) putLocked(v T) {
	if o.backlog == nil {
		select {
		case o.ch <- v:
			return
		default:
		}
	}
	size := 0
	if o.hooks != nil {
		size = o.hooks.Size(v)
	}
	start := o.backlog == nil
	if start {
		o.backlog = &backlog[T]{stop: make(chan struct{})}
	}
	o.backlog.waiting.push(v, size, &o.pumps.chunks)
	o.backlog.bytes += size
	if start {
		o.pumps.running.Add(1)
		// The pump stops when all queued values were sent, at Abort, or at Pumps.Close, which waits
		// for the pump.
		go o.pump(o.backlog.stop)
	}
}

// pump sends the queued values until the queue is empty. It ends earlier if Abort closes the
// channel stop, or if Pumps.Close closes the stop channel of the group.
func (o *Outbox[T]) pump(stop <-chan struct{}) {
	defer o.pumps.running.Done()
	v, ok := o.next(false)
	for ok {
		select { // first without the stop channels, because a select of one channel costs less
		case o.ch <- v:
			v, ok = o.next(true)
			continue
		default:
		}
		select {
		case o.ch <- v:
			v, ok = o.next(true)
		case <-stop:
			ok = o.quit()
		case <-o.pumps.stop:
			ok = o.quit()
		}
	}
}

// next returns the first value of the queue, for the pump to send. If sent is set, the pump has
// sent the value of the previous call, and next first removes that value.
//
// If the queue is empty, next ends the pump by returning false. Before that, it closes the channel
// if Close or Abort was called, and otherwise calls Hooks.Drained.
func (o *Outbox[T]) next(sent bool) (v T, ok bool) {
	o.mu.Lock()
	b := o.backlog
	if sent && !o.aborted {
		b.bytes -= b.waiting.front().size
		b.waiting.drop(&o.pumps.chunks)
	}
	if b.waiting.len > 0 {
		v = b.waiting.front().value
		o.mu.Unlock()
		return v, true
	}
	o.backlog = nil
	drained := !o.closed
	o.unlockClosing(o.closed)
	if drained && o.hooks != nil {
		o.hooks.Drained()
	}
	return v, false
}

// quit is called by the pump, the goroutine that sends queued values, when Abort or Pumps.Close has
// stopped it. quit drops the queued values and closes the channel. It returns false, because the
// pump has no further value to send.
func (o *Outbox[T]) quit() (ok bool) {
	o.mu.Lock()
	o.closed, o.backlog = true, nil
	o.unlockClosing(true)
	return false
}
