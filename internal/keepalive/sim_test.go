package keepalive

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const firstTimeout = 6 * time.Second

var (
	errExpired = errors.New("expired")
	errGone    = errors.New("gone")
	errLeft    = errors.New("left")
	errLeader  = errors.New("no leader")
)

// probe is a subscriber's sink that records its calls.
type probe struct {
	got    []*pb.LeaseKeepAliveResponse
	sent   []time.Time // for each call of Deliver, when the answered request was sent
	full   bool        // the probe refuses answers
	closed []error
}

func (p *probe) Deliver(resp *pb.LeaseKeepAliveResponse, sent time.Time) bool {
	p.sent = append(p.sent, sent)
	if p.full {
		return false
	}
	p.got = append(p.got, resp)
	return true
}

func (p *probe) Close(reason error) { p.closed = append(p.closed, reason) }

type request struct {
	at instant
	id int64
}

// sim runs a [table] of leases against a simulated server, on a simulated clock.
type sim struct {
	tb testing.TB
	*table
	now   instant
	sent  []request
	moves []instant
	// answer returns the response to a request; if it returns nil, the request is not answered.
	answer  func(id int64) *pb.LeaseKeepAliveResponse
	latency time.Duration
	replies []reply // in order of arrival, as long as latency does not change
}

type reply struct {
	at   instant
	resp *pb.LeaseKeepAliveResponse
}

func newSim(tb testing.TB) *sim {
	s := &sim{tb: tb, table: newTable(firstTimeout, errExpired, errGone), latency: time.Millisecond}
	s.mute()
	return s
}

func (s *sim) mute() {
	s.answer = func(int64) *pb.LeaseKeepAliveResponse { return nil }
}

func (s *sim) grant(ttl int64) {
	s.answer = func(id int64) *pb.LeaseKeepAliveResponse {
		return &pb.LeaseKeepAliveResponse{ID: id, TTL: ttl}
	}
}

// keep subscribes a new probe to the lease id, as the method KeepAlive of the [Keeper] does.
func (s *sim) keep(id int64, requireLeader bool) (*Subscriber, *probe) {
	p := &probe{}
	sub := &Subscriber{sink: p, requireLeader: requireLeader}
	s.add(s.now, id, sub)
	s.act()
	return sub, p
}

// connect opens a stream.
func (s *sim) connect() { s.ask(s.opened(s.now)) }

// cut breaks the stream. Replies that have not arrived yet are lost.
func (s *sim) cut() {
	s.replies = nil
	s.interrupt(s.now)
}

func (s *sim) act() {
	renew, move := s.run(s.now)
	if move {
		require.Empty(s.tb, renew)
		s.moves = append(s.moves, s.now)
		s.replies = nil
		s.connect()
	}
	s.ask(renew)
}

func (s *sim) ask(ids []int64) {
	for _, id := range ids {
		s.sent = append(s.sent, request{s.now, id})
		if resp := s.answer(id); resp != nil {
			s.replies = append(s.replies, reply{s.now + s.latency, resp})
		}
	}
}

// wait lets time pass.
func (s *sim) wait(d time.Duration) {
	end := s.now + d
	for {
		at := s.next()
		if len(s.replies) > 0 && s.replies[0].at <= at {
			r := s.replies[0]
			if r.at > end {
				break
			}
			s.replies = s.replies[1:]
			s.now = max(s.now, r.at)
			s.received(s.now, r.resp)
			continue
		}
		if at > end {
			break
		}
		require.Greater(s.tb, at, instant(-1))
		s.now = max(s.now, at)
		s.act()
	}
	s.now = end
}

// sends returns the instants at which requests for the lease id were sent.
func (s *sim) sends(id int64) (at []instant) {
	for _, r := range s.sent {
		if r.id == id {
			at = append(at, r.at)
		}
	}
	return at
}

// check fails the test if the table or its schedule breaks an invariant.
func (s *sim) check() {
	s.tb.Helper()
	planned := 0
	for i, b := range s.schedule.order {
		require.Same(s.tb, b, s.schedule.byInstant[b.at])
		require.Equal(s.tb, i, b.index)
		require.GreaterOrEqual(s.tb, b.at, s.schedule.order[max(0, (i-1)/2)].at)
		require.NotEmpty(s.tb, b.entries)
		planned += len(b.entries)
	}
	require.Len(s.tb, s.schedule.byInstant, len(s.schedule.order))
	require.Len(s.tb, s.byID, planned)
	for id, e := range s.byID {
		var wrong string
		switch {
		case e.id != id:
			wrong = "is under the id of another one"
		case e.bucket.entries[e.index] != e:
			wrong = "is not where it is said to be in the schedule"
		case len(e.subs) == 0 && !e.waiting():
			wrong = "is kept without a subscriber"
		case !s.open && e.waiting():
			wrong = "waits on no stream"
		case e.bucket.at > e.expiry:
			wrong = "is looked at too late"
		}
		require.Empty(s.tb, wrong, "lease %d", e.id)
		for _, sub := range e.subs {
			require.Same(s.tb, e, sub.entry)
		}
	}
}
