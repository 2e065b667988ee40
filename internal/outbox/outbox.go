// Package outbox delivers values into one channel, in order, for a producer that must never wait.
//
// An [Outbox] owns its channel: nobody else sends on it or closes it. While the channel has room a Post goes straight into
// it and costs one channel operation. A Post that finds the channel full keeps the value and starts a goroutine, the pump,
// which feeds the channel at the consumer's pace and exits as soon as nothing waits any more: an idle or keeping-up
// consumer costs no goroutine.
//
// The right to send on and close the channel belongs to the holder of the mutex while there is no pump, and to the single
// pump otherwise. That is why the channel is closed exactly once and nothing is sent on it afterwards, in whatever order
// Post, Close and Abort are called.
//
// What waits is not limited here. A producer looks at [Outbox.Backlog] after a Post and stops producing for a consumer
// that is too slow; [Hooks.Drained] tells when to go on.
package outbox

import "sync"

// Hooks connect an Outbox to its owner.
type Hooks[T any] interface {
	// Size returns the number of bytes that v counts for in Backlog. It is called under the outbox's mutex, once for each
	// value that has to wait and never for one that goes straight into the channel.
	Size(v T) int
	// Drained is called without the mutex, on the pump's goroutine just before that exits, each time all that waited has
	// been handed over and the outbox is still open. A Post in the meantime may already have started the next pump.
	Drained()
}

// Outbox is an ordered mailbox in front of one channel. Make it with [New]. All methods are safe for concurrent use and
// none of them blocks.
type Outbox[T any] struct {
	// Read-only after New.
	ch    chan T
	hooks Hooks[T]
	pumps *sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	waiting []item[T]     // values the channel had no room for, oldest first; the pump is sending the first
	bytes   int           // their sizes
	pumping bool          // a pump runs and owns the channel
	stop    chan struct{} // made with each pump; closed by Abort only
	closed  bool          // Close or Abort was called: Post drops
	gone    bool          // the channel is closed, or Abort told the pump to close it
}

type item[T any] struct {
	value T
	size  int
}

// New returns an Outbox that sends on ch and closes it. hooks may be nil. Every pump is counted in pumps, so that an owner
// can wait for them after it has called Close or Abort; a pump with a consumer that does not read ends only by Abort.
func New[T any](ch chan T, hooks Hooks[T], pumps *sync.WaitGroup) *Outbox[T] {
	return &Outbox[T]{ch: ch, hooks: hooks, pumps: pumps}
}

// Post hands v over to the consumer after all values posted before. It drops v if the outbox is closed.
func (o *Outbox[T]) Post(v T) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.putLocked(v)
	}
}

// Close closes the channel after all that waits and then last have been received or found room in the channel. A consumer
// that does not read keeps the pump alive until Abort. Calls after the first Close or Abort do nothing.
func (o *Outbox[T]) Close(last ...T) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	for _, v := range last {
		o.putLocked(v)
	}
	o.closed = true
	if !o.pumping {
		o.gone = true
		close(o.ch)
	}
}

// Abort drops what waits and closes the channel now; what the channel already holds can still be received. After a Close
// that still waits for its consumer it gives up that wait.
func (o *Outbox[T]) Abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.gone {
		return
	}
	o.gone = true
	o.waiting, o.bytes = nil, 0
	if o.pumping {
		close(o.stop)
	} else {
		close(o.ch)
	}
}

// Backlog returns how many values the consumer has not taken and the channel has no room for, and their size in bytes.
func (o *Outbox[T]) Backlog() (values, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting), o.bytes
}

// putLocked sends v if the channel is ours and has room, and otherwise leaves it to the pump.
func (o *Outbox[T]) putLocked(v T) {
	if !o.pumping {
		select {
		case o.ch <- v:
			return
		default:
		}
	}
	it := item[T]{value: v}
	if o.hooks != nil {
		it.size = o.hooks.Size(v)
	}
	o.waiting = append(o.waiting, it)
	o.bytes += it.size
	if o.pumping {
		return
	}
	o.pumping = true
	o.stop = make(chan struct{})
	o.pumps.Add(1)
	// Stopped by the consumer taking all that waits, or by Abort; the owner waits for it with the pumps group.
	go o.pump(o.stop)
}

// pump feeds the channel until nothing waits or stop is closed.
func (o *Outbox[T]) pump(stop <-chan struct{}) {
	defer o.pumps.Done()
	v, ok := o.next(false)
	for ok {
		select {
		case o.ch <- v:
		case <-stop:
		}
		v, ok = o.next(true)
	}
}

// next returns the first value that waits, after it has dropped the one that was sent. Where none is left it gives the
// channel back, or closes it, and returns false.
func (o *Outbox[T]) next(sent bool) (v T, ok bool) {
	o.mu.Lock()
	if sent && !o.gone {
		o.bytes -= o.waiting[0].size
		o.waiting[0] = item[T]{} // for the garbage collector
		o.waiting = o.waiting[1:]
	}
	if len(o.waiting) > 0 {
		v = o.waiting[0].value
		o.mu.Unlock()
		return v, true
	}
	open := !o.closed
	o.pumping, o.stop, o.waiting = false, nil, nil
	if !open {
		o.gone = true
		close(o.ch)
	}
	o.mu.Unlock()

	if open && o.hooks != nil {
		o.hooks.Drained()
	}
	return v, false
}
