package balancer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// noSubConn connects to nothing.
type noSubConn struct{ balancer.SubConn }

func (noSubConn) Connect()  {}
func (noSubConn) Shutdown() {}

// NewSubConn implements balancer.ClientConn.
func (noClientConn) NewSubConn(
	[]resolver.Address, balancer.NewSubConnOptions,
) (balancer.SubConn, error) {
	return noSubConn{}, nil
}

// endpoints returns what UpdateClientConnState gets when the resolver has found these addresses.
func endpoints(t *Tracker, addresses ...string) (s balancer.ClientConnState) {
	s.ResolverState.Attributes = t.Attributes()
	for _, a := range addresses {
		s.ResolverState.Endpoints = append(s.ResolverState.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: a}}})
	}
	return s
}

// newTestPolicy returns a policy with these addresses. Its subconnections never connect.
func newTestPolicy(t *testing.T, tracker *Tracker, addresses ...string) *policy {
	p := builder{}.Build(noClientConn{}, balancer.BuildOptions{}).(*policy)
	t.Cleanup(p.Close)
	assert.NoError(t, p.UpdateClientConnState(endpoints(tracker, addresses...)))
	return p
}

func (c *conn) become(s connectivity.State) {
	c.changed(balancer.SubConnState{ConnectivityState: s})
}

func (c *conn) fail(err error) {
	c.changed(balancer.SubConnState{ConnectivityState: connectivity.TransientFailure,
		ConnectionError: err})
}

// TestFailuresWarnOnceAMinute shows when a warning is given: as soon as all endpoints
// have failed and no endpoint is connected, and at most once a minute.
func TestFailuresWarnOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warnings := 0
		tracker := New(t.Context(), Options{Unreachable: func() { warnings++ }})
		p := newTestPolicy(t, tracker, "a", "b")
		a, b := p.conns[0], p.conns[1]
		refused, lost := errors.New("refused"), errors.New("lost")

		a.fail(refused)
		assert.Equal(t, 0, warnings, "b is still connecting")
		assert.Equal(t, map[string]error{"a": refused}, tracker.Failures())
		b.become(connectivity.Ready)
		a.fail(refused)
		assert.Equal(t, 0, warnings)
		assert.Empty(t, tracker.Failures(), "one is connected")

		b.become(connectivity.Idle)
		assert.Equal(t, map[string]error{"a": refused}, tracker.Failures(),
			"b has not failed since it was connected")
		b.fail(lost)
		assert.Equal(t, 1, warnings)
		assert.Equal(t, map[string]error{"a": refused, "b": lost}, tracker.Failures())
		for range 60 {
			time.Sleep(time.Second)
			assert.Equal(t, 1, warnings)
			a.become(connectivity.Connecting)
			a.fail(refused)
		}
		assert.Equal(t, 2, warnings)
	})
}

// TestFailuresOfReplacedConnections: the tracker ignores the failures of an endpoint that the
// resolver has removed, and all failures after the policy was closed. It notes failures again when
// gRPC makes a new policy, as after an idle time.
func TestFailuresOfReplacedConnections(t *testing.T) {
	warnings := 0
	tracker := New(t.Context(), Options{Unreachable: func() { warnings++ }})
	p := newTestPolicy(t, tracker, "gone", "a")
	gone, a := p.conns[0], p.conns[1]
	a.become(connectivity.Ready)
	assert.NoError(t, p.UpdateClientConnState(endpoints(tracker, "a")))
	assert.Equal(t, []*conn{a}, p.conns, "it is kept")
	gone.fail(errors.New("x"))
	gone.become(connectivity.Shutdown)
	a.become(connectivity.Idle)
	assert.Empty(t, tracker.Failures())
	p.Close()
	a.fail(errors.New("x"))
	assert.Empty(t, tracker.Failures())
	assert.Zero(t, warnings)

	p = newTestPolicy(t, tracker, "a")
	p.conns[0].fail(errors.New("x"))
	assert.Len(t, tracker.Failures(), 1)
	assert.Equal(t, 1, warnings)
}
