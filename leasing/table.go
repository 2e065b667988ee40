package leasing

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// restTime is how long a key that somebody else wanted is left to others.
	restTime = time.Second
	// minSweep is how many resting keys there are before any is forgotten.
	minSweep = 1024
)

// term is the time of one session. It is read-only once made.
type term struct {
	lease clientv3.LeaseID
	// the lease is certain to live until then, or until end.Deadline if that is later
	until time.Time
	end   *clientv3.KeepAliveEnd
	ctx   context.Context // ends with the term

	isInherited bool // the lease is older, and may have had lease keys before
}

// owned returns the create revision of a lease key that is attached to the term's
// lease, and 0 for any other.
func (t *term) owned(leaseKey *mvccpb.KeyValue) int64 {
	if leaseKey.GetLease() != int64(t.lease) {
		return 0
	}
	return leaseKey.GetCreateRevision()
}

// isCertain reports whether the term's lease lives at this moment.
func (t *term) isCertain() bool {
	until := t.end.Deadline()
	if until.Before(t.until) {
		until = t.until
	}
	return t.end.Err() == nil && time.Now().Before(until)
}

// state is that of a tenancy.
type state uint8

const (
	acquiring state = iota // the request for the lease key is under way
	held                   // the lease key is ours, as long as the term lasts
	leaving                // the lease key, if it is ours, is being deleted
)

// tenancy is the ownership of one key, from the attempt to get it to the certainty
// that it is gone. A key has at most one.
type tenancy struct {
	// read-only after begin
	key     string
	term    *term
	ctx     context.Context // ends with the term, or when the tenancy is to leave
	stop    context.CancelFunc
	settled chan struct{} // closed when it is no longer acquiring
	over    chan struct{} // closed when it is no longer in the table

	// written before settled is closed, read-only afterwards
	read      *kept // what the key was when asked for; nil where that is not known
	created   int64 // create revision of the lease key; 0 where it is not ours
	isUnclear bool  // whether it is ours is not known

	// guarded by table.mu
	state  state
	kept   *kept // held: what the key is
	writes int   // held: own writes under way, which make kept uncertain
}

// table holds the tenancies.
//
// Invariants: a tenancy in the table belongs to the current term. While the term is
// certain, the lease key of a held one exists, with its create revision; only whoever
// makes it leave deletes it, and only after that. What is kept of a held one without
// writes under way is what the server has.
type table struct {
	// read-only after newTable
	prefix string // of lease keys

	// own synchronisation
	latest latestHeader
	// one for each goroutine of a tenancy; added to only with mu held, during a term
	tenants sync.WaitGroup

	// guarded by mu
	mu        sync.RWMutex
	term      *term // nil between sessions
	tenancies map[string]*tenancy
	rests     map[string]time.Time // keys not to acquire before that
	sweepAt   int                  // number of rests at which to look for those that are over
	bars      map[*bar]bool        // what not to acquire as long as they are there
	// there may be lease keys of ours without a tenancy, now or later in the term
	strays bool
}

// bar is made of ranges of lease keys.
type bar struct{ ranges []keyRange }

func newTable(prefix string) *table {
	return &table{
		prefix: prefix, sweepAt: minSweep,
		tenancies: map[string]*tenancy{}, rests: map[string]time.Time{}, bars: map[*bar]bool{},
	}
}

// look returns the answer to a get, if it can be had from memory; or else the
// tenancy that is about to be settled, if any.
func (tb *table) look(key string, op *clientv3.Op) (resp *clientv3.GetResponse, pending *tenancy) {
	tb.mu.RLock()
	t := tb.tenancies[key]
	if t == nil {
		tb.mu.RUnlock()
		return nil, nil
	}
	state, kept, idle := t.state, t.kept, t.writes == 0
	// The clock is read last: at that moment, and so at any revision seen before, what is
	// kept is true. A revision seen later may be that of another client's write.
	latest := tb.latest.get()
	certain := state == held && idle && t.term.isCertain()
	tb.mu.RUnlock()
	switch {
	case certain:
		return kept.response(latest, max(latest.GetRevision(), kept.rev), op), nil
	case state == acquiring:
		return nil, t
	}
	return nil, nil
}

// begin makes a tenancy that is acquiring its key; its goroutine is the caller's to
// start. It returns nil where that is not to be tried: without a term, with another
// tenancy of the key, while it rests, and while a range is being written that it is in.
func (tb *table) begin(key string) *tenancy {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for b := range tb.bars {
		if contain(b.ranges, tb.prefix+key) {
			return nil
		}
	}
	if until, resting := tb.rests[key]; resting {
		if time.Now().Before(until) {
			return nil
		}
		delete(tb.rests, key)
	}
	return tb.addLocked(key, acquiring)
}

// beginLeaving makes a tenancy of a lease key that is ours although nobody knows
// why, in order to delete it; its goroutine is the caller's to start. Where the key
// has a tenancy, which then knows why, it returns that one and made is false. Without
// a term it returns nil.
func (tb *table) beginLeaving(key string) (t *tenancy, made bool) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	if t := tb.tenancies[key]; t != nil {
		return t, false
	}
	if t = tb.addLocked(key, leaving); t == nil {
		return nil, false
	}
	t.isUnclear = true
	close(t.settled)
	return t, true
}

func (tb *table) addLocked(key string, s state) *tenancy {
	if tb.term == nil || tb.tenancies[key] != nil {
		return nil
	}
	t := &tenancy{key: key, term: tb.term, state: s, settled: make(chan struct{}),
		over: make(chan struct{})}
	t.ctx, t.stop = context.WithCancel(tb.term.ctx)
	tb.tenancies[key] = t
	tb.tenants.Add(1)
	return t
}

// acquired settles a tenancy as held, with what its key is.
func (tb *table) acquired(t *tenancy, created int64, k *kept) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	defer close(t.settled)
	t.created, t.read = created, k
	if tb.tenancies[t.key] == t {
		t.state, t.kept = held, k
	}
}

// refused settles a tenancy as one that leaves. created is not 0 where the lease key
// is ours all the same. Where that is unclear, it may also become ours late.
func (tb *table) refused(t *tenancy, created int64, unclear bool, read *kept) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	defer close(t.settled)
	t.created, t.isUnclear, t.read, t.state = created, unclear, read, leaving
	if unclear && tb.term == t.term {
		tb.strays = true
	}
	t.stop()
}

// leave makes a tenancy leave, if it is not doing so.
func (tb *table) leave(t *tenancy) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.leaveLocked(t)
}

func (tb *table) leaveLocked(t *tenancy) {
	if t.state == held {
		t.state = leaving
	}
	t.stop()
}

// finish takes a tenancy out of the table, whose lease key is certain not to be
// ours. Its key rests.
func (tb *table) finish(t *tenancy) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.removeLocked(t)
	tb.restLocked(t.key)
}

func (tb *table) removeLocked(t *tenancy) {
	if tb.tenancies[t.key] != t {
		return
	}
	t.state = leaving
	t.stop()
	delete(tb.tenancies, t.key)
	close(t.over)
}

func (tb *table) restLocked(key string) {
	now := time.Now()
	if len(tb.rests) >= tb.sweepAt {
		for k, until := range tb.rests {
			if until.Before(now) {
				delete(tb.rests, k)
			}
		}
		tb.sweepAt = max(minSweep, 2*len(tb.rests))
	}
	tb.rests[key] = now.Add(restTime/2 + rand.N(restTime/2))
}

// startTerm lets keys be acquired.
func (tb *table) startTerm(t *term) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.term, tb.strays = t, t.isInherited
}

// endTerm forgets all tenancies: their lease keys go with the lease.
func (tb *table) endTerm() {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.term = nil
	for _, t := range tb.tenancies {
		tb.removeLocked(t)
	}
}

// hasStrays reports whether there may be lease keys of ours without a tenancy.
func (tb *table) hasStrays() bool {
	tb.mu.RLock()
	defer tb.mu.RUnlock()
	return tb.strays
}

// isOurs reports whether a lease key is attached to the lease of the term.
func (tb *table) isOurs(leaseKey *mvccpb.KeyValue) bool {
	tb.mu.RLock()
	defer tb.mu.RUnlock()
	return tb.term != nil && tb.term.owned(leaseKey) != 0
}

// bar keeps keys from being acquired whose lease keys are in the ranges, until the
// function that it returns is called. A write of a range might otherwise never find
// it without owners.
func (tb *table) bar(ranges []keyRange) (lift func()) {
	if len(ranges) == 0 {
		return func() {}
	}
	b := &bar{ranges}
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.bars[b] = true
	return func() {
		tb.mu.Lock()
		defer tb.mu.Unlock()
		delete(tb.bars, b)
	}
}

// beginWrite marks the tenancies of the keys that are about to be written, so that
// nothing is answered from memory until endWrite. Where tenancies have to change
// before that, it returns channels to wait for instead: for unsettled ones of
// the keys, and for any in the ranges, which are made to leave.
func (tb *table) beginWrite(w writes) (own []*tenancy, changes []<-chan struct{}) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	changes = tb.leaveRangesLocked(w.ranges)
	for _, key := range w.keys {
		t := tb.tenancies[key]
		switch {
		case t == nil:
		case t.state != held:
			changes = append(changes, t.changeLocked())
		default:
			own = append(own, t)
		}
	}
	if len(changes) > 0 {
		return nil, changes
	}
	for _, t := range own {
		t.writes++
	}
	return own, nil
}

// leaveRangesLocked makes all tenancies leave whose lease keys are in the ranges, and
// returns their changes.
func (tb *table) leaveRangesLocked(ranges []keyRange) (changes []<-chan struct{}) {
	if len(ranges) == 0 {
		return nil
	}
	for key, t := range tb.tenancies {
		if contain(ranges, tb.prefix+key) {
			tb.leaveLocked(t)
			changes = append(changes, t.changeLocked())
		}
	}
	return changes
}

// change returns the channel that is closed with the next change of a tenancy that
// is not held.
func (tb *table) change(t *tenancy) <-chan struct{} {
	tb.mu.RLock()
	defer tb.mu.RUnlock()
	return t.changeLocked()
}

func (t *tenancy) changeLocked() <-chan struct{} {
	if t.state == leaving {
		return t.over
	}
	return t.settled
}

// endWrite takes back what beginWrite did. now holds what each tenancy's key is
// after the write, nil for one of which that is not known: it leaves. With a nil
// now, nothing was written.
func (tb *table) endWrite(own []*tenancy, now []*kept) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for i, t := range own {
		t.writes--
		switch {
		case now == nil || t.state != held:
		case now[i] == nil:
			tb.leaveLocked(t)
		case now[i].rev > t.kept.rev:
			t.kept = now[i]
		}
	}
}
