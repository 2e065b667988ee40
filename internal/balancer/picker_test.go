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
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
)

// onePicker is a child with one connection.
type onePicker struct{}

func (onePicker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{}, nil
}

// connected is the child of an endpoint with a connection.
func connected(address string) (c endpointsharding.ChildState) {
	c.Endpoint.Addresses = []resolver.Address{{Addr: address}}
	c.State = balancer.State{ConnectivityState: connectivity.Ready, Picker: onePicker{}}
	return c
}

// seated is a table with n connected members, m0 and so on.
func seated(t testing.TB, n int, probe func(context.Context, *Member) error) (*Table, *picker) {
	table := New(context.Background(), Options{})
	table.probe = probe
	t.Cleanup(table.Close)
	children := make([]endpointsharding.ChildState, n)
	for i := range children {
		children[i] = connected(fmt.Sprint("m", i))
	}
	return table, table.seat(children).(*picker)
}

func noProbe(context.Context, *Member) error { return nil }

var put = balancer.PickInfo{FullMethodName: pb.KV_Put_FullMethodName, Ctx: context.Background()}

func outstanding(p *picker) (n []int64) {
	for _, s := range p.seats {
		n = append(n, s.member.outstanding.Load())
	}
	return n
}

func TestPickGoesRound(t *testing.T) {
	_, p := seated(t, 3, noProbe)
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
	assert.EqualValues(t, 3, p.seats[0].member.answered.Load())
}

func TestStreamsAreNotCounted(t *testing.T) {
	_, p := seated(t, 2, noProbe)
	r, err := p.Pick(balancer.PickInfo{FullMethodName: pb.Watch_Watch_FullMethodName, Ctx: context.Background()})
	require.NoError(t, err)
	assert.Nil(t, r.Done)
	assert.Equal(t, []int64{0, 0}, outstanding(p))
	r, err = p.Pick(balancer.PickInfo{FullMethodName: "/v3electionpb.Election/Observe", Ctx: context.Background()})
	require.NoError(t, err)
	assert.Nil(t, r.Done, "an observer would make its member look slow as long as it watches")
}

// TestStreamLeavesItsMember: whosever turn it is, the next stream is opened
// elsewhere, where there is another member.
func TestStreamLeavesItsMember(t *testing.T) {
	for n, want := range map[int]bool{1: false, 2: true, 3: true} {
		table, p := seated(t, n, noProbe)
		var place Place
		info := balancer.PickInfo{FullMethodName: pb.Watch_Watch_FullMethodName, Ctx: place.With(context.Background())}
		for i := range 20 {
			before := place.at.Load()
			place.Leave()
			table.turn.Add(uint32(i)) // requests meanwhile
			_, err := p.Pick(info)
			require.NoError(t, err)
			if i > 0 {
				assert.Equal(t, want, before != place.at.Load())
			}
		}
	}
}

// TestStreamLeavesItsMemberForASlowOne: also where the only other member gets few
// requests, and where requests by others take every other turn.
func TestStreamLeavesItsMemberForASlowOne(t *testing.T) {
	_, p := seated(t, 2, noProbe)
	p.seats[1].member.limit.Store(1)
	p.seats[1].member.nextSlow.Store(clock(time.Now().Add(time.Hour)))
	var place Place
	info := balancer.PickInfo{FullMethodName: pb.Watch_Watch_FullMethodName, Ctx: place.With(context.Background())}
	_, err := p.Pick(info)
	require.NoError(t, err)
	require.Equal(t, "m0", place.at.Load().address)
	place.Leave()
	for range 3 {
		_, err = p.Pick(info)
		require.NoError(t, err)
		assert.Equal(t, "m1", place.at.Load().address)
	}
	p.seats[1].member.limit.Store(0) // which may be silent
	_, err = p.Pick(info)
	require.NoError(t, err)
	assert.Equal(t, "m0", place.at.Load().address, "rather than one that may be silent")
}

// TestStreamsAvoidMembersThatRefuse: one without a leader would accept a stream that
// does not require one, and bring nothing on it.
func TestStreamsAvoidMembersThatRefuse(t *testing.T) {
	for name, refuse := range map[string]func(m *Member, stream func(error)){
		"requests": func(m *Member, _ func(error)) {
			m.outstanding.Add(1)
			m.done(balancer.DoneInfo{Err: rpctypes.ErrGRPCNoLeader, BytesReceived: true})
		},
		"requests, but answers some": func(m *Member, _ func(error)) {
			m.outstanding.Add(2)
			m.done(balancer.DoneInfo{Err: rpctypes.ErrGRPCNoLeader, BytesReceived: true})
			m.done(balancer.DoneInfo{BytesReceived: true})
		},
		"a stream": func(_ *Member, stream func(error)) { stream(rpctypes.ErrGRPCNoLeader) },
	} {
		t.Run(name, func(t *testing.T) {
			table, p := seated(t, 3, noProbe)
			var place Place
			pick := func() (*Member, func(error)) {
				r, err := p.Pick(balancer.PickInfo{FullMethodName: pb.Watch_Watch_FullMethodName, Ctx: place.With(t.Context())})
				require.NoError(t, err)
				return place.at.Load(), func(err error) { r.Done(balancer.DoneInfo{Err: err}) }
			}
			bad, end := pick()
			refuse(bad, end)
			for i := range 30 {
				place.Leave()
				table.turn.Add(uint32(i))
				m, _ := pick()
				assert.NotEqual(t, bad, m)
			}
			for _, s := range p.seats {
				if s.member != bad {
					s.member.limit.Store(0)
				}
			}
			m, _ := pick()
			assert.Equal(t, bad, m, "rather than one that may be silent")
			for _, s := range p.seats {
				s.member.limit.Store(unlimited)
				s.member.refusals.Store(1)
			}
			m, _ = pick()
			assert.NotNil(t, m, "some member")
		})
	}
}

func TestBusyAndLimitedMembersArePassedOver(t *testing.T) {
	_, p := seated(t, 3, noProbe)
	p.seats[0].member.outstanding.Store(5)
	p.seats[1].member.limit.Store(0)
	for range 4 {
		assert.Equal(t, "m2", p.choose(true).member.address)
	}
	p.seats[2].member.limit.Store(0)
	assert.Equal(t, "m0", p.choose(true).member.address, "the last that takes any")
	p.seats[0].member.limit.Store(0)
	assert.NotNil(t, p.choose(true).member, "somebody")
}

func TestSlowMemberIsAskedNowAndThen(t *testing.T) {
	_, p := seated(t, 2, noProbe)
	slowOne := p.seats[0].member
	slowOne.limit.Store(1)
	slowOne.spacing.Store(int64(time.Hour))
	asked := 0
	for range 100 {
		if p.choose(true).member == slowOne {
			asked++
		}
	}
	assert.Equal(t, 1, asked)
}

func TestDirectedRequests(t *testing.T) {
	table, p := seated(t, 2, noProbe)
	var addresses []string
	holds := func(ctx context.Context) (bool, error) {
		m := ctx.Value(probeKey{}).(*Member)
		addresses = append(addresses, m.address)
		_, err := p.Pick(balancer.PickInfo{FullMethodName: pb.Maintenance_Status_FullMethodName, Ctx: ctx})
		return true, err
	}
	ok, err := table.All(t.Context(), holds)
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, []string{"m0", "m1"}, addresses)
	assert.Equal(t, []int64{0, 0}, outstanding(p), "no load")

	gone := context.WithValue(t.Context(), probeKey{}, newMember("gone"))
	_, err = p.Pick(balancer.PickInfo{FullMethodName: healthpb.Health_Check_FullMethodName, Ctx: gone})
	assert.Equal(t, errNotConnected, err)
}

// TestAllAsksEachConnectionOnce: until a member passed, and again once it has
// another connection.
func TestAllAsksEachConnectionOnce(t *testing.T) {
	table, p := seated(t, 2, noProbe)
	calls := 0
	answer := func(ok bool, err error) func(context.Context) (bool, error) {
		return func(context.Context) (bool, error) { calls++; return ok, err }
	}
	check := func(wantCalls int, want bool, holds func(context.Context) (bool, error)) {
		t.Helper()
		calls = 0
		ok, _ := table.All(t.Context(), holds)
		assert.Equal(t, want, ok)
		assert.Equal(t, wantCalls, calls)
	}
	check(1, false, answer(true, errNotConnected))
	check(1, false, answer(false, nil))
	check(2, true, answer(true, nil))
	check(0, true, nil)
	p.seats[1].member.reset()
	check(1, false, answer(false, nil))
	check(1, true, func(context.Context) (bool, error) {
		calls++
		p.seats[1].member.reset() // while it is being asked
		return true, nil
	})
	check(1, true, answer(true, nil))
	check(0, true, nil)
	_, err := (*Table)(nil).All(t.Context(), nil)
	assert.Error(t, err)
}

// TestTableLifecycle runs the timer, probes and verdicts against a member that
// never answers.
func TestTableLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead *Member
		table, p := seated(t, 2, func(ctx context.Context, m *Member) error {
			if m == dead {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(time.Millisecond)
			return nil
		})
		dead = p.seats[0].member
		dead.outstanding.Add(1)
		table.wake()
		time.Sleep(2 * time.Second)
		assert.EqualValues(t, 0, dead.limit.Load(), "severed")
		assert.EqualValues(t, int64(unlimited), p.seats[1].member.limit.Load())
		assert.True(t, table.ticking.Load())
		dead.outstanding.Add(-1)
		time.Sleep(10 * time.Second)
		assert.False(t, table.ticking.Load(), "nothing to watch")
		table.Inspect()
		table.Close()
		table.Inspect()
		table.wake()
	})
}

// noClientConn takes states and drops them.
type noClientConn struct{ balancer.ClientConn }

func (noClientConn) UpdateState(balancer.State) {}

// TestNewConnectionStartsAfresh: also the member that was connected last when all
// were lost is judged anew.
func TestNewConnectionStartsAfresh(t *testing.T) {
	table, p := seated(t, 2, noProbe)
	for _, s := range p.seats {
		s.member.rec.state = severed
		s.member.limit.Store(0)
	}
	conn := &judgedConn{ClientConn: noClientConn{}, table: table}
	conn.UpdateState(balancer.State{ConnectivityState: connectivity.Connecting})
	assert.Empty(t, table.ready)
	for _, s := range p.seats {
		table.seat([]endpointsharding.ChildState{connected(s.member.address)})
		assert.EqualValues(t, int64(unlimited), s.member.limit.Load())
		assert.Equal(t, good, s.member.rec.state)
	}
}

// TestPickCostsNothing: no allocation, whatever the number of callers.
func TestPickCostsNothing(t *testing.T) {
	_, p := seated(t, 3, noProbe)
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		r, _ := p.Pick(put)
		r.Done(balancer.DoneInfo{BytesReceived: true})
	}))
}

func BenchmarkPick(b *testing.B) {
	_, p := seated(b, 3, noProbe)
	b.ReportAllocs()
	b.SetParallelism(32) // 64 callers on two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := p.Pick(put)
			r.Done(balancer.DoneInfo{BytesReceived: true})
		}
	})
}

// TestInspectAfterARest: what a member sent while nobody looked is no answer to the probe that comes after.
func TestInspectAfterARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead *Member
		table, p := seated(t, 2, func(ctx context.Context, m *Member) error {
			if m != dead {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		dead = p.seats[0].member
		near, far := net.Pipe()
		defer far.Close()
		dead.track(near)
		dead.heard.Add(1)
		time.Sleep(time.Minute)
		table.Inspect()
		time.Sleep(time.Second)
		_, err := far.Write([]byte("x"))
		assert.ErrorIs(t, err, io.ErrClosedPipe, "it is severed")
	})
}
