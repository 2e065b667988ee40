package balancer

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Member is one endpoint, over all connections made to it.
type Member struct {
	address     string
	done        func(balancer.DoneInfo) // of every request counted
	doneMovable func(balancer.DoneInfo) // of those that count as movable too

	// own synchronisation
	outstanding atomic.Int64
	movable     atomic.Int64 // of these: would be sent to another member if this one's connection were lost
	answered    atomic.Uint64
	refused     atomic.Uint64 // of these
	reads       atomic.Uint64 // answers to movable requests that were served
	refusals    atomic.Int64  // in a row
	heard       atomic.Uint64
	limit       atomic.Int64                 // how many requests may be outstanding
	spacing     atomic.Int64                 // nanoseconds between two requests where limit is 1
	nextSlow    atomic.Int64                 // when the next of these is due, by the package's clock
	behind      atomic.Int64                 // until when it is taken to be behind its peers, likewise; 0: it is not
	leaderless  atomic.Int64                 // until when it is taken to have no leader, likewise
	subConn     atomic.Pointer[childSubConn] // its connection that is ready; nil: none
	streams     streams

	withoutHealth atomic.Bool // its server has no health service: it is no etcd, but a proxy

	connMu sync.Mutex
	conn   net.Conn // the current connection, under TLS

	// guarded by the table's mu
	rec record
}

func newMember(address string) *Member {
	m := &Member{address: address}
	m.limit.Store(unlimited)
	m.done = func(info balancer.DoneInfo) {
		m.outstanding.Add(-1)
		if !info.BytesReceived {
			return
		}
		if isRefusal(info.Err) {
			m.refused.Add(1)
			m.refusals.Add(1)
			if isBehind(info.Err) {
				m.fallBehind(time.Now())
			}
			if isLeaderless(info.Err) {
				m.loseLeader(time.Now())
			}
		} else if m.refusals.Load() > 0 {
			m.refusals.Store(0)
		}
		m.answered.Add(1)
		m.heard.Add(1)
	}
	m.doneMovable = func(info balancer.DoneInfo) {
		m.movable.Add(-1)
		if info.BytesReceived && !isRefusal(info.Err) {
			m.reads.Add(1)
		}
		m.done(info)
	}
	return m
}

// Repeats is the context key under which requests tell whether they are sent again
// where a server may have served them: a bool. Those that say nothing are not.
type Repeats struct{}

// isRefusal tells the answers of a member that does not serve, as one without a
// leader, from those that say how a request went. They come at once, so they must
// not pass for quickness.
func isRefusal(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Unknown, codes.Internal, codes.ResourceExhausted, codes.FailedPrecondition, codes.Unauthenticated:
		return true
	}
	return false
}

// leaderlessFor is how long a member is taken to have no leader after it said so.
const leaderlessFor = 10 * time.Second

func isLeaderless(err error) bool {
	return err != nil && rpctypes.Error(err) == rpctypes.ErrNoLeader
}

func (m *Member) loseLeader(now time.Time) { m.leaderless.Store(clock(now.Add(leaderlessFor))) }

// refuses tells whether the member's latest answer was a refusal, or it said of late
// that it has no leader.
func (m *Member) refuses() bool {
	if m.refusals.Load() > 0 {
		return true
	}
	until := m.leaderless.Load()
	return until != 0 && clock(time.Now()) < until
}

// track takes over the member's new connection, and returns it so that what it
// receives counts as a sign of life.
func (m *Member) track(conn net.Conn) net.Conn {
	tracked := &trackedConn{Conn: conn, member: m}
	m.connMu.Lock()
	defer m.connMu.Unlock()
	m.conn = conn
	return tracked
}

// severable tells whether there is a connection to close: there is none known
// where the user's own transport credentials made it.
func (m *Member) severable() bool {
	m.connMu.Lock()
	defer m.connMu.Unlock()
	return m.conn != nil
}

// sever closes the connection under gRPC, which fails all that is under way on
// it and connects again.
func (m *Member) sever() {
	m.connMu.Lock()
	conn := m.conn
	m.connMu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

// trackedConn counts what arrives.
type trackedConn struct {
	net.Conn
	member *Member
}

func (c *trackedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.member.heard.Add(uint64(n))
	}
	return n, err
}

// A member is passed over that has more outstanding requests than busyFactor
// times those of the least busy one, and slack. That must be rare among healthy
// members, or the quickest would get more than its share: with every CPU taken,
// one in turn is three times as quick as another.
const (
	busyFactor = 4
	slack      = 4
)

// refusing is how many refusals in a row make a member no measure of how busy the
// others may be.
const refusing = 4

// seat is a connected member with gRPC's way to its connection.
type seat struct {
	member *Member
	child  balancer.Picker
}

// picker spreads requests over the connected members. It holds no lock and
// allocates nothing.
type picker struct {
	table *Table
	seats []seat
}

// Pick implements balancer.Picker.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if isDirected(info.FullMethodName) {
		if m, ok := info.Ctx.Value(probeKey{}).(*Member); ok {
			return p.pickProbe(m, info)
		}
	}
	if isStream(info.FullMethodName) {
		return p.pickStream(info)
	}
	movable, _ := info.Ctx.Value(Repeats{}).(bool)
	s := p.choose(movable)
	if info.FullMethodName == pb.Lease_LeaseTimeToLive_FullMethodName {
		s = p.elsewhere(info.Ctx, s)
	}
	result, err := s.child.Pick(info)
	if err != nil || p.table.even {
		return result, err
	}
	s.member.outstanding.Add(1)
	done := s.member.done
	if movable {
		s.member.movable.Add(1)
		done = s.member.doneMovable
	}
	if s.member.behind.Load() != 0 {
		done = s.member.proof(info.FullMethodName, done)
	}
	p.table.wake()
	if other := result.Done; other != nil {
		result.Done = func(d balancer.DoneInfo) { done(d); other(d) }
	} else {
		result.Done = done
	}
	return result, nil
}

// isDirected tells the methods that may be asked of one member: probes, and what
// All asks.
func isDirected(method string) bool {
	return method == healthpb.Health_Check_FullMethodName || method == pb.Maintenance_Status_FullMethodName
}

// isStream tells the long-lived calls apart, whose end is no answer. Those of
// other services that etcd has, elections and locks, wait for other clients.
func isStream(method string) bool {
	if !strings.HasPrefix(method, "/etcdserverpb.") {
		return true
	}
	switch method {
	case pb.Watch_Watch_FullMethodName, pb.Lease_LeaseKeepAlive_FullMethodName,
		pb.Maintenance_Snapshot_FullMethodName, pb.KV_RangeStream_FullMethodName:
		return true
	}
	return false
}

// choose goes round the members, passing over those that may take no more, those
// much busier than the least busy one and, for a request that cannot move, those
// that are behind. The last resort is whose turn it is.
func (p *picker) choose(movable bool) seat {
	n := uint32(len(p.seats))
	turn := p.table.turn.Add(1)
	least, leastOfAll := int64(unlimited), int64(unlimited)
	for _, s := range p.seats {
		if s.member.limit.Load() == unlimited && (movable || s.member.caughtUp()) {
			outstanding := s.member.outstanding.Load()
			leastOfAll = min(leastOfAll, outstanding)
			if s.member.refusals.Load() < refusing {
				least = min(least, outstanding)
			}
		}
	}
	if least == unlimited {
		least = leastOfAll
	}
	for i := range n {
		s := p.seats[(turn+i)%n]
		if (movable || s.member.caughtUp()) && s.member.takes(least) {
			return s
		}
	}
	for _, anyone := range [...]bool{movable, true} {
		for i := range n {
			s := p.seats[(turn+i)%n]
			if (anyone || s.member.caughtUp()) && s.member.limit.Load() > 0 {
				return s
			}
		}
	}
	return p.seats[turn%n]
}

// takes tells whether the member should get the next request, given the least
// number that a peer in good standing has outstanding.
func (m *Member) takes(least int64) bool {
	limit, outstanding := m.limit.Load(), m.outstanding.Load()
	switch {
	case outstanding >= limit:
		return false
	case limit == unlimited:
		return outstanding-slack <= busyFactor*least
	}
	now := clock(time.Now())
	due := m.nextSlow.Load()
	return now >= due && m.nextSlow.CompareAndSwap(due, now+m.spacing.Load())
}

// probeKey is the context key of the member that a request is for.
type probeKey struct{}

func (p *picker) pickProbe(m *Member, info balancer.PickInfo) (balancer.PickResult, error) {
	for _, s := range p.seats {
		if s.member == m {
			return s.child.Pick(info)
		}
	}
	return balancer.PickResult{}, errNotConnected
}
