package outbox

import "sync"

// Hooks connect an Outbox to its owner.
type Hooks[T any] interface {
	// Size returns the number of bytes that v counts for in the result of Post. It is called under
	// the outbox's mutex, once for each value that has to wait and never for one that goes straight
	// into the channel.
	Size(v T) int
	// Drained is called without the mutex, on the pump's goroutine just before that exits, each
	// time all that waited has been handed over and the outbox is still open. A Post in the
	// meantime may already have started the next pump.
	Drained()
	// Closed is called without the mutex, once, when the channel has been closed.
	Closed()
}

// Pumps are the pumps of any number of outboxes that end together.
type Pumps struct {
	stop    chan struct{} // closed by Close
	running sync.WaitGroup
	chunks  sync.Pool // of the queues' chunks; the values of one owner have one type
}

// NewPumps returns a group for the outboxes of one owner.
func NewPumps() *Pumps { return &Pumps{stop: make(chan struct{})} }

// Close ends all pumps as if each outbox that has one were aborted, and waits for them. It must be
// called once, after the last Post and Close of the group's outboxes; what these left waiting is
// dropped.
func (p *Pumps) Close() {
	close(p.stop)
	p.running.Wait()
}

// Outbox is an ordered mailbox in front of one channel. Make it with [New]. All methods are safe
// for concurrent use and none of them blocks.
type Outbox[T any] struct {
	// Read-only after New.
	ch    chan T
	hooks Hooks[T]
	pumps *Pumps

	// Guarded by mu.
	mu sync.Mutex
	// values the channel had no room for, oldest first; the pump is sending the first
	waiting queue[T]
	bytes   int           // their sizes
	pumping bool          // a pump runs and owns the channel
	stop    chan struct{} // made with each pump; closed by Abort only
	closed  bool          // Close or Abort was called: Post drops
	aborted bool          // Abort was called while a pump ran: the pump drops what waits
	gone    bool          // the channel is closed
}

// New returns an Outbox that sends on ch and closes it, with its pump in pumps. hooks may be nil.
func New[T any](ch chan T, hooks Hooks[T], pumps *Pumps) *Outbox[T] {
	return &Outbox[T]{ch: ch, hooks: hooks, pumps: pumps}
}

// Post hands v over to the consumer after all values posted before. It drops v if the outbox is
// closed. It returns how many values the consumer has not taken and the channel has no room for,
// and their size in bytes.
func (o *Outbox[T]) Post(v T) (values, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.putLocked(v)
	}
	return o.waiting.len, o.bytes
}

// Close closes the channel after all that waits and then last have been received or found room in
// the channel. A consumer that does not read keeps the pump alive until Abort. Calls after the
// first Close or Abort do nothing.
func (o *Outbox[T]) Close(last ...T) {
	o.mu.Lock()
	if !o.closed {
		for _, v := range last {
			o.putLocked(v)
		}
		o.closed = true
	}
	o.unlockClosing(!o.pumping)
}

// Abort drops what waits and closes the channel now; what the channel already holds can still be
// received. After a Close that still waits for its consumer it gives up that wait.
func (o *Outbox[T]) Abort() {
	o.mu.Lock()
	o.closed = true
	if o.pumping && !o.aborted {
		o.aborted = true
		o.waiting, o.bytes = queue[T]{}, 0
		close(o.stop)
	}
	o.unlockClosing(!o.pumping)
}

// unlockClosing closes the channel if end is set and it is still open, and releases the mutex.
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

// putLocked sends v if there is no pump and the channel has room, and otherwise leaves it to the
// pump.
func (o *Outbox[T]) putLocked(v T) {
	if !o.pumping {
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
	o.waiting.push(v, size, &o.pumps.chunks)
	o.bytes += size
	if o.pumping {
		return
	}
	o.pumping = true
	o.stop = make(chan struct{})
	o.pumps.running.Add(1)
	// Stopped by the consumer taking all that waits, by Abort, or by Pumps.Close, which waits for
	// it.
	go o.pump(o.stop)
}

// pump feeds the channel until nothing waits or it is stopped.
func (o *Outbox[T]) pump(stop <-chan struct{}) {
	defer o.pumps.running.Done()
	v, ok := o.next(false)
	for ok {
		select { // a send alone costs less than a choice between three channels
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

// next drops the value that was sent, and returns the first one that waits. If no value waits, next
// gives the channel back, or closes it, and returns false.
func (o *Outbox[T]) next(sent bool) (v T, ok bool) {
	o.mu.Lock()
	if sent && !o.aborted {
		o.bytes -= o.waiting.front().size
		o.waiting.drop(&o.pumps.chunks)
	}
	if o.waiting.len > 0 {
		v = o.waiting.front().value
		o.mu.Unlock()
		return v, true
	}
	o.pumping, o.stop, o.waiting = false, nil, queue[T]{}
	drained := !o.closed
	o.unlockClosing(o.closed)
	if drained && o.hooks != nil {
		o.hooks.Drained()
	}
	return v, false
}

// quit ends the outbox, drops what waits, and returns false.
func (o *Outbox[T]) quit() (goOn bool) {
	o.mu.Lock()
	o.closed, o.pumping, o.stop = true, false, nil
	o.waiting, o.bytes = queue[T]{}, 0
	o.unlockClosing(true)
	return false
}
