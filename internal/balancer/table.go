package balancer

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

// tickPeriod is how often members are judged while there are requests.
const tickPeriod = 100 * time.Millisecond

// probeLife bounds a probe; long before it ends, its member has been judged.
const probeLife = 5 * time.Second

var errNotConnected = status.Error(codes.Unavailable, "member is not connected")

// Options change what a Table does.
type Options struct {
	// Even has requests go to all members in turn, and nobody judged.
	Even bool
	// NoProbes has members asked nothing but what the program asks. A silent one
	// gets no more requests as long as others do answer; its connection stays.
	NoProbes bool
	// Report, if set, is told whose standing changed. It must not block.
	Report func(address, standing string)
}

// Table judges the members of one connection. A nil Table judges nobody.
type Table struct {
	// read-only after New
	even   bool
	quiet  bool // asks members nothing
	probe  func(context.Context, *Member) error
	read   func(context.Context, *Member) error
	report func(address, standing string)
	ctx    context.Context // of the probes
	cancel context.CancelFunc

	// own synchronisation
	turn    atomic.Uint32
	ticking atomic.Bool
	probes  sync.WaitGroup // added to only with mu held and closed unset
	running sync.Mutex     // held by tick from start to end; taken before mu

	// guarded by mu
	mu       sync.Mutex
	closed   bool
	members  map[string]*Member
	ready    []*Member // those connected
	lastTick time.Time
	timer    *time.Timer // runs tick; nil before the first request
}

// New returns a Table whose probes end with ctx.
func New(ctx context.Context, o Options) *Table {
	t := &Table{even: o.Even, quiet: o.NoProbes, probe: askHealth, read: readOneKey, report: o.Report, members: map[string]*Member{}}
	if t.report == nil {
		t.report = func(string, string) {}
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

// Member returns the member at an address, the same each time.
func (t *Table) Member(address string) *Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.members[address]
	if m == nil {
		m = newMember(address)
		t.members[address] = m
	}
	return m
}

type memberKey struct{}

// With marks an address as its member's, so that its connection can be tracked
// and its requests counted.
func (t *Table) With(a resolver.Address) resolver.Address {
	if t != nil {
		a.Attributes = a.Attributes.WithValue(memberKey{}, t.Member(a.Addr))
	}
	return a
}

// Track hands a new connection to the member whose address has the attributes
// given; it returns the connection to use.
func Track(a *attributes.Attributes, conn net.Conn) net.Conn {
	if m, ok := a.Value(memberKey{}).(*Member); ok {
		return m.track(conn)
	}
	return conn
}

// of finds the member of an address.
func (t *Table) of(a resolver.Address) *Member {
	if m, ok := a.Attributes.Value(memberKey{}).(*Member); ok {
		return m
	}
	return t.Member(a.Addr)
}

// Retain forgets the members at other addresses, and returns them.
func (t *Table) Retain(addresses []string) (gone []*Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for address, m := range t.members {
		if !slices.Contains(addresses, address) {
			delete(t.members, address)
			gone = append(gone, m)
		}
	}
	return gone
}

// seat builds a picker of the children that are connected. A member whose
// connection is new starts in good standing.
func (t *Table) seat(children []endpointsharding.ChildState) balancer.Picker {
	p := &picker{table: t}
	for _, c := range children {
		if c.State.ConnectivityState == connectivity.Ready && len(c.Endpoint.Addresses) > 0 {
			p.seats = append(p.seats, seat{member: t.of(c.Endpoint.Addresses[0]), child: c.State.Picker})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ready := make([]*Member, len(p.seats))
	for i, s := range p.seats {
		ready[i] = s.member
		if !slices.Contains(t.ready, s.member) {
			s.member.reset()
		}
	}
	t.ready = ready
	return p
}

// reset forgets what happened on an earlier connection, but for that it was stuck,
// or closed.
func (m *Member) reset() {
	stuck := m.rec.stuck
	if stuck || m.rec.state == severed {
		m.fallBehind(time.Now())
	}
	m.rec = record{heard: m.heard.Load(), answered: m.answered.Load(), readsDone: m.reads.Load(), refused: m.refused.Load(), told: m.rec.told, connection: m.rec.connection + 1}
	m.limit.Store(unlimited)
	m.refusals.Store(0)
	if stuck {
		m.distrust(time.Now())
	}
}

// wake has members judged as long as there are requests.
func (t *Table) wake() {
	if t.ticking.Load() || !t.ticking.CompareAndSwap(false, true) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastTick = time.Now()
	t.scheduleLocked()
}

func (t *Table) scheduleLocked() {
	switch {
	case t.closed:
	case t.timer == nil:
		t.timer = time.AfterFunc(tickPeriod, t.tick)
	default:
		t.timer.Reset(tickPeriod)
	}
}

// tick runs on the timer's goroutine, which Close waits for.
func (t *Table) tick() {
	t.running.Lock()
	defer t.running.Unlock()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	now := time.Now()
	busy := t.observeLocked(now)
	v := step(t.ready, now, !t.quiet)
	for _, m := range v.probe {
		t.startProbeLocked(m)
	}
	for _, m := range v.read {
		t.startReadLocked(m)
	}
	moved := make([]string, 0, 2*len(v.moved))
	for _, m := range v.moved {
		moved = append(moved, m.address, m.rec.state.String())
	}
	if busy {
		t.scheduleLocked()
	} else {
		t.ticking.Store(false)
	}
	t.mu.Unlock()
	for _, m := range v.sever {
		m.sever()
	}
	for i := 0; i < len(moved); i += 2 {
		t.report(moved[i], moved[i+1])
	}
	if !busy && t.owing() {
		t.wake()
	}
}

// observeLocked takes a sample of each member, and tells whether there is
// anything to go on watching.
func (t *Table) observeLocked(now time.Time) (busy bool) {
	elapsed := now.Sub(t.lastTick)
	t.lastTick = now
	for _, m := range t.ready {
		if elapsed > 3*tickPeriod {
			m.rec.pause(elapsed - tickPeriod)
		}
		s := sample{outstanding: m.outstanding.Load(), movable: m.movable.Load(), answered: m.answered.Load(), reads: m.reads.Load(), refused: m.refused.Load(), heard: m.heard.Load()}
		busy = busy || s.outstanding > 0 || s.answered != m.rec.answered || m.rec.state == suspect || m.rec.probing || m.rec.asked
		m.rec.observe(s, now, elapsed)
	}
	return busy
}

// owing tells whether any member has requests outstanding: one may have come
// while the last tick decided that there were none.
func (t *Table) owing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.ready, func(m *Member) bool { return m.outstanding.Load() > 0 })
}

// Inspect probes every member, for callers that have a stream go silent. Those
// that do not answer while others do are severed, and their streams with them.
func (t *Table) Inspect() {
	if t == nil || t.even || t.quiet {
		return
	}
	t.mu.Lock()
	now := time.Now()
	for _, m := range t.ready {
		m.rec.asked = true
		if !m.rec.probing && len(t.ready) > 1 {
			m.rec.catchUp(m.heard.Load(), now)
			t.startProbeLocked(startProbe(m, now))
		}
	}
	t.mu.Unlock()
	t.wake()
}

// catchUp takes in what was heard by now, so that it does not count as an answer to
// what is asked next. Nobody looks while there are no requests.
func (r *record) catchUp(heard uint64, now time.Time) {
	if heard != r.heard {
		r.heard, r.lastTime, r.silent = heard, now, time.Time{}
	}
}

// All reports whether holds does for every connected member. It asks one after
// another, with a context by which a Status request or a health check goes to that
// member, and ends with the first error, or that does not hold. A member for which
// it did is not asked again before it has another connection.
func (t *Table) All(ctx context.Context, holds func(context.Context) (bool, error)) (bool, error) {
	if t == nil {
		return false, errNotConnected
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ready) == 0 {
		return false, errNotConnected
	}
	for _, m := range slices.Clone(t.ready) {
		if m.rec.vetted {
			continue
		}
		connection := m.rec.connection
		t.mu.Unlock()
		ok, err := holds(context.WithValue(ctx, probeKey{}, m))
		t.mu.Lock()
		if err != nil || !ok {
			return false, err
		}
		m.rec.vetted = connection == m.rec.connection
	}
	return true, nil
}

// startProbeLocked asks a member for a sign of life.
func (t *Table) startProbeLocked(m *Member) {
	if t.closed {
		return
	}
	// Ends with its bounded context, which Close ends; Close waits for it.
	t.probes.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, probeLife)
		defer cancel()
		err := t.probe(ctx, m)
		answered := err == nil || (ctx.Err() == nil && status.Code(err) != codes.Unavailable)
		t.mu.Lock()
		defer t.mu.Unlock()
		m.rec.answerProbe(answered, time.Now())
		setLimits(t.ready)
	})
}

// startReadLocked has a member read one key. What another connection answers, made
// meanwhile, is not for this record.
func (t *Table) startReadLocked(m *Member) {
	if t.closed {
		return
	}
	connection := m.rec.connection
	// Ends with its bounded context, which Close ends; Close waits for it.
	t.probes.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, probeLife)
		defer cancel()
		err := t.read(ctx, m)
		refused := err != nil && ctx.Err() == nil && isRefusal(err)
		t.mu.Lock()
		defer t.mu.Unlock()
		if connection == m.rec.connection {
			m.rec.answerRead(ctx.Err() == nil && !refused, refused, time.Now())
		}
	})
}

// Close ends probes and judgements, and waits for them.
func (t *Table) Close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Unlock()
	t.cancel()
	t.probes.Wait()
	t.running.Lock() // waits for a tick under way
	defer t.running.Unlock()
}
