package balancer

import (
	"context"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

var errNotConnected = status.Error(codes.Unavailable, "member is not connected")

// Options change what a Tracker does.
type Options struct {
	// Even disables health-aware balancing: requests go round-robin to all connected members.
	Even bool
	// HealthCheck makes the policy ask each server's health service. While other members serve, a
	// member that does not serve, or that refuses the health check, gets no requests.
	HealthCheck bool
	// NoProbes disables probes, which are health checks of members that have fallen silent. Without
	// probes, a silent member gets no more requests while others answer, but its connection is not
	// closed.
	NoProbes bool
	// Report, if set, is called with each change of a member's health. It must not block.
	Report func(address, health string)
	// Unreachable, if set, is called when the last attempt to connect has failed for every member,
	// so that no member is connected. It is called at most once a minute. It must not block.
	Unreachable func()
}

// warnPeriod is the shortest time between two calls of Options.Unreachable.
const warnPeriod = time.Minute

// Tracker tracks the health of the members of one grpc.ClientConn. A nil Tracker tracks no member.
type Tracker struct {
	// read-only after New
	Options
	probe  func(context.Context, *Member) error // checkHealth, or a test's function
	read   func(context.Context, *Member) error // readOneKey
	ctx    context.Context                      // of the calls of probe and read
	cancel context.CancelFunc

	// safe for concurrent use
	next    atomic.Uint32 // the round-robin position
	ticking atomic.Bool
	probes  sync.WaitGroup // calls of probe and read; Add only with mu held and closed false
	running sync.Mutex     // held by tick from start to end; taken before mu

	// guarded by mu
	mu       sync.Mutex
	closed   bool
	members  map[string]*Member     // by address
	ready    []*Member              // the connected members
	health   []*memberhealth.Member // health[i] belongs to ready[i]
	failures map[string]error       // connect errors by address; nil while a member is connected
	warned   time.Time              // when Unreachable was called last
	lastTick time.Time
	timer    *time.Timer // runs tick
}

// New returns a Tracker. The requests that it sends to check the members end with ctx.
func New(ctx context.Context, o Options) *Tracker {
	t := &Tracker{
		Options: o, probe: checkHealth, read: readOneKey, members: map[string]*Member{},
	}
	if t.Report == nil {
		t.Report = func(string, string) {}
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.timer = time.AfterFunc(math.MaxInt64, t.tick)
	t.timer.Stop() // scheduleLocked starts it
	return t
}

// Member returns the member at an address. The first call for an address makes the member.
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

// With returns a copy of an address that has the address's Member among its attributes. The Member
// counts the requests sent to the address and the bytes received from it. If t is nil, the address
// is returned unchanged.
func (t *Tracker) With(a resolver.Address) resolver.Address {
	if t != nil {
		a.Attributes = a.Attributes.WithValue(memberKey{}, t.Member(a.Addr))
	}
	return a
}

// Track is called with each new connection to an address. It returns a connection to use in place
// of conn. This connection counts received bytes for the Member that [Tracker.With] has added to
// the attributes. If they contain no Member, Track returns conn itself.
func Track(a *attributes.Attributes, conn net.Conn) net.Conn {
	m, ok := a.Value(memberKey{}).(*Member)
	if !ok {
		return conn
	}
	tracked := &trackedConn{Conn: conn, health: m.health}
	m.socket.Store(tracked)
	m.health.SetClosable()
	return tracked
}

// of returns the member that With has put into the attributes of an address. If the attributes
// contain no member, the result is the tracker's member at the address.
func (t *Tracker) of(a resolver.Address) *Member {
	if m, ok := a.Attributes.Value(memberKey{}).(*Member); ok {
		return m
	}
	return t.Member(a.Addr)
}

// Retain forgets the members whose addresses are not in the list, and returns them.
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

// pickerOf returns a picker that chooses among conns, which are ready. It resets the health of each
// member whose connection is new.
func (t *Tracker) pickerOf(conns []*conn) *picker {
	t.mu.Lock()
	defer t.mu.Unlock()
	ready, health := make([]*Member, len(conns)), make([]*memberhealth.Member, len(conns))
	for i, c := range conns {
		ready[i], health[i] = c.member, c.member.health
		if !slices.Contains(t.ready, c.member) {
			c.member.health.Reset(time.Now())
			c.member.connection++
		}
	}
	t.ready, t.health = ready, health
	return &picker{tracker: t, candidates: conns}
}

// noteFailures notes the errors of the last attempts to connect. It reports whether to call
// Options.Unreachable.
func (t *Tracker) noteFailures(conns []*conn) (warn bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = nil
	failures := map[string]error{}
	for _, c := range conns {
		if c.state > failed { // connected
			return false
		}
		if c.err != nil {
			failures[c.address.Addr] = c.err
		}
	}
	t.failures = failures
	if len(failures) < len(conns) || !t.warned.IsZero() && time.Since(t.warned) < warnPeriod {
		return false
	}
	t.warned = time.Now()
	return true
}

// Failures returns, by address, the error of the last attempt to connect to each member. It returns
// an empty map while any member is connected. The caller must not change the map.
func (t *Tracker) Failures() map[string]error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failures
}

// ProbeAll sends a health check to every connected member, because a stream went silent. If some
// members answer, the others are ejected: their connections are closed, which ends their streams.
func (t *Tracker) ProbeAll() {
	if t == nil || t.Even || t.NoProbes {
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
	t.timer.Stop()
	t.mu.Unlock()
	t.cancel()
	t.probes.Wait()
	t.running.Lock() // waits for the current tick
	defer t.running.Unlock()
}
