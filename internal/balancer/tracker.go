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

	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

// tickPeriod is how often members are compared while there are requests.
const tickPeriod = memberhealth.TickPeriod

var errNotConnected = status.Error(codes.Unavailable, "member is not connected")

// Options change what a Tracker does.
type Options struct {
	// Even disables health-aware balancing: requests go round-robin over all connected
	// members.
	Even bool
	// NoProbes disables probes. A silent member gets no more requests as long as others
	// answer, and its connection stays.
	NoProbes bool
	// Report, if set, is called with each change of a member's health. It must not block.
	Report func(address, health string)
}

// Tracker follows the health of the members of one connection. A nil Tracker follows none.
type Tracker struct {
	// read-only after New
	even   bool
	quiet  bool // sends no probes
	probe  func(context.Context, *Member) error
	read   func(context.Context, *Member) error
	report func(address, health string)
	ctx    context.Context // of the probes
	cancel context.CancelFunc

	// own synchronisation
	next    atomic.Uint32 // the round-robin position
	ticking atomic.Bool
	probes  sync.WaitGroup // added to only with mu held and closed unset
	running sync.Mutex     // held by tick from start to end; taken before mu

	// guarded by mu
	mu       sync.Mutex
	closed   bool
	members  map[string]*Member // by address
	ready    []*Member          // the connected ones
	health   []*memberhealth.Member
	lastTick time.Time
	timer    *time.Timer // runs tick; nil before the first request
}

// New returns a Tracker whose probes end with ctx.
func New(ctx context.Context, o Options) *Tracker {
	t := &Tracker{
		even: o.Even, quiet: o.NoProbes, report: o.Report,
		probe: checkHealth, read: readOneKey, members: map[string]*Member{},
	}
	if t.report == nil {
		t.report = func(string, string) {}
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

// Member returns the member at an address, the same one each time.
func (t *Tracker) Member(address string) *Member {
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

// With adds its member to an address, so that its connection is tracked and its requests
// are counted.
func (t *Tracker) With(a resolver.Address) resolver.Address {
	if t != nil {
		a.Attributes = a.Attributes.WithValue(memberKey{}, t.Member(a.Addr))
	}
	return a
}

// Track hands a new connection to the member whose address has the attributes a. It returns
// the connection to use.
func Track(a *attributes.Attributes, conn net.Conn) net.Conn {
	if m, ok := a.Value(memberKey{}).(*Member); ok {
		return m.track(conn)
	}
	return conn
}

// of returns the member of an address.
func (t *Tracker) of(a resolver.Address) *Member {
	if m, ok := a.Attributes.Value(memberKey{}).(*Member); ok {
		return m
	}
	return t.Member(a.Addr)
}

// Retain forgets the members at other addresses, and returns them.
func (t *Tracker) Retain(addresses []string) (removed []*Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for address, m := range t.members {
		if !slices.Contains(addresses, address) {
			delete(t.members, address)
			removed = append(removed, m)
		}
	}
	return removed
}

// pickerOf returns a picker of the children that are connected. The health of a member
// whose connection is new starts afresh.
func (t *Tracker) pickerOf(children []endpointsharding.ChildState) balancer.Picker {
	p := &picker{tracker: t}
	for _, c := range children {
		if c.State.ConnectivityState == connectivity.Ready && len(c.Endpoint.Addresses) > 0 {
			m := t.of(c.Endpoint.Addresses[0])
			p.candidates = append(p.candidates, candidate{member: m, child: c.State.Picker})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ready, health := make([]*Member, len(p.candidates)),
		make([]*memberhealth.Member, len(p.candidates))
	for i, c := range p.candidates {
		ready[i], health[i] = c.member, c.member.health
		if !slices.Contains(t.ready, c.member) {
			c.member.startConnection()
		}
	}
	t.ready, t.health = ready, health
	return p
}

// startConnection forgets what was found out on earlier connections.
func (m *Member) startConnection() {
	m.health.Reset(time.Now())
	m.connection++
}

// ProbeAll probes every member, because a stream went silent. Members that do not answer
// while others do are ejected, which ends their streams.
func (t *Tracker) ProbeAll() {
	if t == nil || t.even || t.quiet {
		return
	}
	t.mu.Lock()
	now := time.Now()
	for _, m := range t.ready {
		if m.health.ExpectStream(now, len(t.ready) == 1) {
			t.startProbeLocked(m)
		}
	}
	t.mu.Unlock()
	t.wake()
}

// Close ends ticks and probes, and waits for them.
func (t *Tracker) Close() {
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
	t.running.Lock() // waits for the current tick
	defer t.running.Unlock()
}
