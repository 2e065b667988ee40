package balancer

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"

	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

// connected returns a ready connection to an address.
func connected(tracker *Tracker, address string) *conn {
	return &conn{member: tracker.Member(address)}
}

// newTestPicker returns a tracker with n connected members, m0 and so on, and their picker.
func newTestPicker(
	t testing.TB, n int, probe func(context.Context, *Member) error,
) (*Tracker, *picker) {
	tracker := New(context.Background(), Options{})
	tracker.probe = probe
	t.Cleanup(tracker.Close)
	conns := make([]*conn, n)
	for i := range conns {
		conns[i] = connected(tracker, fmt.Sprint("m", i))
	}
	return tracker, tracker.pickerOf(conns)
}

func noProbe(context.Context, *Member) error { return nil }

var put = balancer.PickInfo{FullMethodName: pb.KV_Put_FullMethodName, Ctx: context.Background()}

// setOutstanding begins or ends requests until the member has n outstanding ones.
func setOutstanding(m *Member, n int64) {
	for m.health.Outstanding() < n {
		m.health.Begin(false)
	}
	for m.health.Outstanding() > n {
		m.health.End(false, memberhealth.Outcome{})
	}
}

func outstanding(p *picker) (n []int64) {
	for _, s := range p.candidates {
		n = append(n, s.member.health.Outstanding())
	}
	return n
}

func TestPickGoesRound(t *testing.T) {
	_, p := newTestPicker(t, 3, noProbe)
	var done []func(balancer.DoneInfo)
	for range 9 {
		r, err := p.Pick(put)
		require.NoError(t, err)
		done = append(done, r.Done)
	}
	assert.Equal(t, []int64{3, 3, 3}, outstanding(p))
	for _, f := range done {
		f(balancer.DoneInfo{BytesReceived: true})
	}
	assert.Equal(t, []int64{0, 0, 0}, outstanding(p))
	assert.EqualValues(t, 3, p.candidates[0].member.health.Answered())
}

// TestStreamsAreNotCounted: a stream does not count as an outstanding request, and neither does a
// call of etcd's election or lock service. Such calls last long, so if they counted, their member
// would look slow.
func TestStreamsAreNotCounted(t *testing.T) {
	_, p := newTestPicker(t, 2, noProbe)
	r, err := p.Pick(balancer.PickInfo{FullMethodName: pb.Watch_Watch_FullMethodName,
		Ctx: context.Background()})
	require.NoError(t, err)
	assert.Nil(t, r.Done)
	assert.Equal(t, []int64{0, 0}, outstanding(p))
	r, err = p.Pick(balancer.PickInfo{FullMethodName: "/v3electionpb.Election/Observe",
		Ctx: context.Background()})
	require.NoError(t, err)
	assert.Nil(t, r.Done, "an observer would make its member look slow as long as it watches")
}

// TestStreamLeavesItsMember: after AvoidLast the next stream goes to another member, if there is
// one. That holds at every position of the round-robin.
func TestStreamLeavesItsMember(t *testing.T) {
	for n, want := range map[int]bool{1: false, 2: true, 3: true} {
		tracker, p := newTestPicker(t, n, noProbe)
		var target StreamTarget
		info := balancer.PickInfo{FullMethodName: pb.Watch_Watch_FullMethodName,
			Ctx: target.With(context.Background())}
		for i := range 20 {
			before := target.current.Load()
			target.AvoidLast()
			tracker.next.Add(uint32(i)) // other requests advance the round-robin position
			_, err := p.Pick(info)
			require.NoError(t, err)
			if i > 0 {
				assert.Equal(t, want, before != target.current.Load())
			}
		}
	}
}

// TestStreamLeavesItsMemberForASlowOne: after AvoidLast the next stream goes to the other member,
// even if that member is slow and so gets few requests.
func TestStreamLeavesItsMemberForASlowOne(t *testing.T) {
	_, p := newTestPicker(t, 2, noProbe)
	p.candidates[1].member.health.Force(memberhealth.Slow, false)
	require.True(t, p.candidates[1].member.health.Takes(0), "the one request that is due")
	var target StreamTarget
	info := balancer.PickInfo{FullMethodName: pb.Watch_Watch_FullMethodName,
		Ctx: target.With(context.Background())}
	_, err := p.Pick(info)
	require.NoError(t, err)
	require.Equal(t, "m0", target.current.Load().address)
	target.AvoidLast()
	for range 3 {
		_, err = p.Pick(info)
		require.NoError(t, err)
		assert.Equal(t, "m1", target.current.Load().address)
	}
	p.candidates[1].member.health.Force(memberhealth.Ejected, false)
	_, err = p.Pick(info)
	require.NoError(t, err)
	assert.Equal(t, "m0", target.current.Load().address, "rather than one that may be silent")
}

// TestStreamsAvoidMembersThatRefuse: no stream goes to a member that refuses requests while another
// member serves. A member without a leader would accept a stream, but could send nothing on it.
func TestStreamsAvoidMembersThatRefuse(t *testing.T) {
	for name, refuse := range map[string]func(m *Member, stream func(error)){
		"requests": func(m *Member, _ func(error)) {
			m.health.Begin(false)
			m.done(balancer.DoneInfo{Err: rpctypes.ErrGRPCNoLeader, BytesReceived: true})
		},
		"requests, but answers some": func(m *Member, _ func(error)) {
			m.health.Begin(false)
			m.health.Begin(false)
			m.done(balancer.DoneInfo{Err: rpctypes.ErrGRPCNoLeader, BytesReceived: true})
			m.done(balancer.DoneInfo{BytesReceived: true})
		},
		"a stream": func(_ *Member, stream func(error)) { stream(rpctypes.ErrGRPCNoLeader) },
	} {
		t.Run(name, func(t *testing.T) {
			tracker, p := newTestPicker(t, 3, noProbe)
			var target StreamTarget
			pick := func() (*Member, func(error)) {
				r, err := p.Pick(balancer.PickInfo{FullMethodName: pb.Watch_Watch_FullMethodName,
					Ctx: target.With(t.Context())})
				require.NoError(t, err)
				return target.current.Load(), func(err error) {
					r.Done(balancer.DoneInfo{Err: err})
				}
			}
			bad, end := pick()
			refuse(bad, end)
			for i := range 30 {
				target.AvoidLast()
				tracker.next.Add(uint32(i))
				m, _ := pick()
				assert.NotEqual(t, bad, m)
			}
			for _, s := range p.candidates {
				if s.member != bad {
					s.member.health.Force(memberhealth.Ejected, false)
				}
			}
			m, _ := pick()
			assert.Equal(t, bad, m, "rather than one that may be silent")
			for _, s := range p.candidates {
				s.member.health.Force(memberhealth.Healthy, false)
				s.member.health.Begin(false)
				s.member.health.End(false, memberhealth.Outcome{Answered: true, Refused: true})
			}
			m, _ = pick()
			assert.NotNil(t, m, "some member")
		})
	}
}

func TestBusyAndLimitedMembersArePassedOver(t *testing.T) {
	_, p := newTestPicker(t, 3, noProbe)
	setOutstanding(p.candidates[0].member, 5)
	p.candidates[1].member.health.Force(memberhealth.Ejected, false)
	for range 4 {
		assert.Equal(t, "m2", p.choose().member.address)
	}
	p.candidates[2].member.health.Force(memberhealth.Ejected, false)
	assert.Equal(t, "m0", p.choose().member.address, "the last that takes any")
	p.candidates[0].member.health.Force(memberhealth.Ejected, false)
	assert.NotNil(t, p.choose().member, "some member")
}

func TestSlowMemberIsAskedNowAndThen(t *testing.T) {
	_, p := newTestPicker(t, 2, noProbe)
	slowOne := p.candidates[0].member
	slowOne.health.Force(memberhealth.Slow, false)
	taken := 0
	for range 100 {
		if p.choose().member == slowOne {
			taken++
		}
	}
	assert.Equal(t, 1, taken)
}

// TestTrackerLifecycle runs the timer and the probes against a member that
// never answers.
func TestTrackerLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent *Member
		tracker, p := newTestPicker(t, 2, func(ctx context.Context, m *Member) error {
			if m == silent {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(time.Millisecond)
			return nil
		})
		silent = p.candidates[0].member
		silent.health.Begin(false)
		tracker.wake()
		time.Sleep(2 * time.Second)
		assert.Zero(t, silent.health.Limit(), "it gets no requests")
		assert.EqualValues(t, int64(memberhealth.Unlimited), p.candidates[1].member.health.Limit())
		assert.True(t, tracker.ticking.Load())
		silent.health.End(false, memberhealth.Outcome{})
		time.Sleep(10 * time.Second)
		assert.False(t, tracker.ticking.Load(), "nothing to watch")
		tracker.ProbeAll()
		tracker.Close()
		tracker.ProbeAll()
		tracker.wake()
	})
}

// noClientConn takes states and drops them.
type noClientConn struct{ balancer.ClientConn }

func (noClientConn) UpdateState(balancer.State) {}

// TestNewConnectionStartsAfresh: an ejected member is usable again when it has a new connection.
// The tracker finds new connections by comparison with its list of connected members. So it must
// empty this list when all connections are lost.
func TestNewConnectionStartsAfresh(t *testing.T) {
	tracker, p := newTestPicker(t, 2, noProbe)
	for _, s := range p.candidates {
		s.member.health.Force(memberhealth.Ejected, false)
	}
	lost := &policy{cc: noClientConn{}, tracker: tracker}
	lost.updateLocked()
	assert.Empty(t, tracker.ready)
	for _, s := range p.candidates {
		tracker.pickerOf([]*conn{s})
		assert.Equal(t, memberhealth.Slow, s.member.health.Health())
		assert.True(t, s.member.health.Usable())
	}
}

// TestPickCostsNothing: a pick allocates nothing.
func TestPickCostsNothing(t *testing.T) {
	_, p := newTestPicker(t, 3, noProbe)
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		r, _ := p.Pick(put)
		r.Done(balancer.DoneInfo{BytesReceived: true})
	}))
}

func BenchmarkPick(b *testing.B) {
	_, p := newTestPicker(b, 3, noProbe)
	b.ReportAllocs()
	b.SetParallelism(32) // 64 callers on two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := p.Pick(put)
			r.Done(balancer.DoneInfo{BytesReceived: true})
		}
	})
}

// TestProbeAllAfterARest: ProbeAll sends each member a probe, that is a health check. A member that
// does not answer is ejected, which closes its connection. Bytes that the member sent before the
// probe do not count as an answer.
func TestProbeAllAfterARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent *Member
		tracker, p := newTestPicker(t, 2, func(ctx context.Context, m *Member) error {
			if m != silent {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		silent = p.candidates[0].member
		near, far := net.Pipe()
		defer far.Close()
		Track(attributes.New(memberKey{}, silent), near)
		silent.health.Receive(1)
		time.Sleep(time.Minute)
		tracker.ProbeAll()
		time.Sleep(time.Second)
		_, err := far.Write([]byte("x"))
		assert.ErrorIs(t, err, io.ErrClosedPipe, "its connection was closed")
	})
}

// attempt is the second attempt at a write that a member has refused.
type attempt struct{ avoid, member any }

func (a *attempt) Idempotent() bool { return false }
func (a *attempt) SetMember(m any)  { a.member = m }
func (a *attempt) Avoid() any       { return a.avoid }

// TestNextAttemptGoesToAnotherMember: the next attempt of a request avoids the member that got the
// last attempt. That holds at every position of the round-robin, and also if the member has
// answered other requests in the meantime.
func TestNextAttemptGoesToAnotherMember(t *testing.T) {
	for n, want := range map[int]bool{1: false, 2: true, 3: true} {
		tracker, p := newTestPicker(t, n, noProbe)
		for i := range 20 {
			a := &attempt{avoid: p.candidates[0].member}
			tracker.next.Add(uint32(i)) // other requests advance the round-robin position
			r, err := p.Pick(balancer.PickInfo{FullMethodName: pb.KV_Put_FullMethodName,
				Ctx: context.WithValue(t.Context(), AttemptKey{}, a)})
			require.NoError(t, err)
			r.Done(balancer.DoneInfo{BytesReceived: true})
			assert.Equal(t, want, a.member != a.avoid, "%d members", n)
		}
	}
}
