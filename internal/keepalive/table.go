package keepalive

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// table holds the leases that a [Keeper] keeps alive. It has no lock and no clock: the Keeper calls
// it with the Keeper's lock held, and passes the time. The package comment describes the states of
// a lease and the invariants of the table.
type table struct {
	start        time.Time     // the time of instant 0
	firstTimeout time.Duration // how long a lease may go without its first answer
	expired      error         // passed to subscribers if no answer came for the whole TTL
	gone         error         // passed to subscribers if the server does not know the lease
	confirms     bool          // whether the keeper can ask another member if a lease exists
	random       func() float64

	byID map[int64]*entry
	// late counts, for each lease, the requests that were unanswered when the table dropped the
	// lease. If the lease is added again, its next answers belong to these requests, and not to a
	// request of its new entry.
	late           map[int64]int
	schedule       schedule
	open           bool          // there is a stream, and requests can be sent on it
	lastReceived   instant       // when the last answer came, or the stream was opened
	resumed        instant       // when the last pause of the process ended; 0: there was none
	typicalLatency time.Duration // a moving average of how long answers take
	seq            uint64        // number of the last request
	stream         uint64        // number of the last stream

	// Results for the keeper, which takes them after it has called a method of the table.
	stops     []func() bool // the stop functions of closed subscribers
	drops     int           // the number of answers for which a subscriber's channel had no room
	questions []int64       // lease ids; the keeper must ask another member whether they exist
}

func newTable(firstTimeout time.Duration, expired, gone error) *table {
	return &table{
		firstTimeout: firstTimeout,
		expired:      expired,
		gone:         gone,
		random:       rand.Float64,
		byID:         make(map[int64]*entry),
		schedule:     newSchedule(),
		late:         make(map[int64]int),
	}
}

// add subscribes s to the lease id. If the table does not have the lease yet, its first renewal is
// due at once. Otherwise s gets the same answers as the lease's other subscribers.
func (t *table) add(now instant, id int64, s *Subscriber) {
	e := t.byID[id]
	if e == nil {
		e = &entry{id: id, ttl: min(t.firstTimeout, assumedTTL), expiry: after(now, t.firstTimeout),
			due: now}
		e.subs = e.first[:0]
		t.byID[id] = e
	} else if len(e.subs) == 0 {
		e.expiry = after(now, t.firstTimeout)
	}
	s.entry = e
	e.subs = append(e.subs, s)
	t.plan(e)
}

// leave closes one subscriber with reason. If the lease has no other subscriber, the lease is not
// renewed again.
func (t *table) leave(s *Subscriber, reason error) {
	e := s.entry
	if e == nil {
		return
	}
	e.subs = slices.DeleteFunc(e.subs, func(other *Subscriber) bool { return other == s })
	t.close(s, reason)
	t.settle(e)
}

// next returns the instant at which run has to be called next. If the table is empty, that is the
// constant never.
func (t *table) next() instant {
	if b := t.schedule.first(); b != nil {
		return b.at
	}
	return never
}

// run handles the entries that need attention at the instant now. It drops the leases that have
// expired. It returns the leases to renew, the nearest to expiry first.
//
// If the stream was silent for longer than the stall timeout of a waiting lease, run treats the
// stream as ended. It then returns true, and the keeper must move the stream to another member.
func (t *table) run(now instant) (renew []int64, move bool) {
	var due []*entry
	for b := t.schedule.first(); b != nil && b.at <= now; b = t.schedule.first() {
		e := b.entries[len(b.entries)-1]
		switch {
		case e.expiry <= now:
			t.drop(e, t.expired)
		case t.open && !e.waiting() && e.due <= now:
			e.seq, e.sentAt = t.seq+1, now // marks e as waiting; t.number sets the final seq
			t.plan(e)
			due = append(due, e)
		case e.waiting() && len(e.subs) > 0 && t.stallsAt(e) <= now:
			t.interrupt(now)
			return nil, true
		default: // e needs attention only later
			t.schedule.put(e, t.attention(e))
		}
	}
	return t.number(due), false
}

// opened notes that a new stream is open. It returns the leases to renew on this stream at once:
// all whose renewal is due.
func (t *table) opened(now instant) []int64 {
	t.interrupt(now)
	t.open = true
	t.stream++
	t.lastReceived = now
	var due []*entry
	for _, e := range t.byID {
		if e.due <= now {
			e.sentAt = now
			due = append(due, e)
		}
	}
	ids := t.number(due)
	t.replan()
	return ids
}

// interrupt notes that the stream has ended. The leases whose requests were in flight are renewed
// as soon as the next stream is open. If such a lease has no subscribers left, interrupt drops the
// lease.
func (t *table) interrupt(now instant) {
	t.open = false
	clear(t.late)
	for _, e := range t.byID {
		if !e.waiting() {
			continue
		}
		e.seq, e.due = 0, now
		if len(e.subs) == 0 {
			t.drop(e, nil)
		}
	}
	t.replan()
}

// received handles an answer. An answer for a lease that is not in the table shows only that the
// stream is alive.
func (t *table) received(now instant, resp *pb.LeaseKeepAliveResponse) {
	t.lastReceived = now
	late := t.isLate(resp.ID)
	e := t.byID[resp.ID]
	if e == nil {
		return
	}
	answered := e.waiting() && !late
	if answered {
		e.seq = 0
	}
	if resp.TTL <= 0 {
		t.notFound(e)
		return
	}
	e.known = true
	e.ttl = seconds(resp.TTL)
	e.expiry = after(now, e.ttl)
	var sent time.Time
	if answered {
		sent = t.start.Add(e.sentAt)
		t.learn(now, e)
		e.due = t.renewAt(now, e)
	}
	if e.doubtful() { // the member did not know the lease before, and knows it now: renew at once
		e.due = now
	}
	for _, s := range e.subs {
		if !s.sink.Deliver(resp, sent) {
			t.drops++
		}
	}
	t.settle(e)
}

// isLate reports whether an answer for the lease id belongs to a dropped entry. t.late counts the
// unanswered requests of such entries. If isLate returns true, it has lowered this count by one.
// Servers answer the requests of a stream in order, so the request of the lease's current entry is
// answered after these.
func (t *table) isLate(id int64) bool {
	n := t.late[id]
	if n > 1 {
		t.late[id] = n - 1
	} else {
		delete(t.late, id)
	}
	return n > 0
}

// remove drops the lease id and closes all its subscribers.
func (t *table) remove(id int64, reason error) {
	if e := t.byID[id]; e != nil {
		t.drop(e, reason)
	}
}

// removeOldest drops the lease whose request has waited longest. It is called after the server has
// refused one lease and ended the stream. Servers answer the requests of a stream in order, so the
// refusal is for that lease.
//
// If requests of dropped entries are still unanswered, the refusal may be for one of them.
// removeOldest then drops no lease, and all leases are renewed on the next stream.
func (t *table) removeOldest(reason error) {
	if len(t.late) > 0 {
		return
	}
	var oldest *entry
	for _, e := range t.byID {
		if e.waiting() && (oldest == nil || e.seq < oldest.seq) {
			oldest = e
		}
	}
	if oldest != nil {
		t.drop(oldest, reason)
	}
}

// leaderLost closes the subscribers that require a leader, and no others.
func (t *table) leaderLost(reason error) {
	for _, e := range t.byID {
		for _, s := range slices.Clone(e.subs) {
			if s.requireLeader {
				t.leave(s, reason)
			}
		}
	}
}

// clear closes all subscribers and drops all leases.
func (t *table) clear(reason error) {
	t.open = false
	for _, e := range t.byID {
		for _, s := range e.subs {
			t.close(s, reason)
		}
	}
	t.byID, t.schedule = make(map[int64]*entry), newSchedule()
}

// number sorts entries whose requests are sent together, the nearest to expiry first, and numbers
// the requests in that order. It returns the leases in that order.
func (t *table) number(sent []*entry) []int64 {
	slices.SortFunc(sent, func(a, b *entry) int { return cmp.Compare(a.expiry, b.expiry) })
	ids := make([]int64, len(sent))
	for i, e := range sent {
		t.seq++
		ids[i], e.seq = e.id, t.seq
	}
	return ids
}

// settle drops e if e has no subscriber and no request in flight. Otherwise it puts e into the
// schedule, at the instant at which e needs attention next.
func (t *table) settle(e *entry) {
	if len(e.subs) == 0 && !e.waiting() {
		t.drop(e, nil)
		return
	}
	t.plan(e)
}

// drop removes e from the table and closes its subscribers with reason. If a request of e is in
// flight, drop counts it in late.
func (t *table) drop(e *entry, reason error) {
	if e.waiting() && t.open {
		t.late[e.id]++
	}
	delete(t.byID, e.id)
	t.schedule.remove(e)
	for _, s := range e.subs {
		t.close(s, reason)
	}
	e.subs = nil
}

// close closes one subscriber with reason, and leaves it to the keeper to call the subscriber's
// stop function.
func (t *table) close(s *Subscriber, reason error) {
	s.entry = nil
	s.sink.Close(reason)
	if s.stop != nil {
		t.stops = append(t.stops, s.stop)
		s.stop = nil
	}
}
