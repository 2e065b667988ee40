package balancer

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// A member whose health check fails is a fallback. Either it reports that it does not serve,
// or it refuses the check, as learners refuse all streams. It gets requests if no other
// member is connected or connecting: without a fallback gRPC would let them wait for ever.

// newChild makes the pick_first policy of one endpoint.
func (c *checks) newChild(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return balancer.Get(pickfirst.Name).Build(&childConn{ClientConn: cc, checks: c}, opts)
}

// childConn is the connection as one child sees it.
type childConn struct {
	balancer.ClientConn
	checks    *checks
	unhealthy atomic.Pointer[childSubConn] // the connection whose health check fails; nil: none
}

func (c *childConn) NewSubConn(
	addresses []resolver.Address, opts balancer.NewSubConnOptions,
) (balancer.SubConn, error) {
	s := &childSubConn{child: c, stop: func() {}}
	s.handshakes.encrypted = len(addresses) > 0 && isEncrypted(addresses[0])
	if t := c.checks.tracker; t != nil && len(addresses) > 0 {
		s.member = t.of(addresses[0])
	}
	listener := opts.StateListener
	opts.StateListener = func(state balancer.SubConnState) {
		s.mu.Lock()
		s.stop()
		s.mu.Unlock()
		c.unhealthy.CompareAndSwap(s, nil)
		c.checks.failures.note(s, addresses[0].Addr, state)
		s.note(state.ConnectivityState)
		s.handshakes.note(state)
		listener(state)
	}
	var err error
	//nolint:staticcheck // a child has one address; the method itself has no successor
	s.SubConn, err = c.ClientConn.NewSubConn(addresses, opts)
	return s, err
}

func (c *childConn) UpdateState(s balancer.State) {
	s.Picker = childPicker{Picker: s.Picker, child: c}
	c.ClientConn.UpdateState(s)
}

// childSubConn follows the health of one connection. Between two attempts at a health check
// the result of the earlier one stays.
type childSubConn struct {
	balancer.SubConn
	child      *childConn
	member     *Member // nil: not tracked
	handshakes handshakes
	// of the health check; only gRPC's callbacks use it, one at a time
	stop context.CancelFunc

	// mu is held while health is reported and when the check is stopped, so that nothing is
	// reported of a lost connection.
	mu sync.Mutex
}

// Connect implements balancer.SubConn. After a refused handshake it waits.
func (s *childSubConn) Connect() { s.handshakes.connect(s.SubConn.Connect) }

// Shutdown implements balancer.SubConn.
func (s *childSubConn) Shutdown() {
	s.handshakes.stop()
	s.SubConn.Shutdown()
}

// note makes this the connection on which the member is probed, or ends that.
func (s *childSubConn) note(state connectivity.State) {
	switch {
	case s.member == nil:
	case state == connectivity.Ready:
		s.member.subConn.Store(s)
	default:
		s.member.subConn.CompareAndSwap(s, nil)
	}
}

// RegisterHealthListener implements balancer.SubConn. pick_first calls it in the callback
// that reports the connection ready.
func (s *childSubConn) RegisterHealthListener(listener func(balancer.SubConnState)) {
	ctx, cancel := context.WithCancel(s.child.checks.ctx)
	s.stop = cancel
	without := func(is bool) {
		if s.member != nil {
			s.member.withoutHealth.Store(is)
		}
	}
	s.child.checks.start(ctx, s.SubConn, without, func(state balancer.SubConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		if state.ConnectivityState == connectivity.Ready {
			s.child.unhealthy.CompareAndSwap(s, nil)
		} else {
			s.child.unhealthy.Store(s)
		}
		listener(state)
	})
}

// childPicker returns gRPC's own connection in place of the childSubConn.
type childPicker struct {
	balancer.Picker
	child *childConn
}

func (p childPicker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	result, err := p.Picker.Pick(info)
	if s, ok := result.SubConn.(*childSubConn); ok {
		result.SubConn = s.SubConn
	}
	return result, err
}

// fallback returns the children to ask if no child is ready. It returns nil as long as a child
// may still connect or be found healthy.
func fallback(children []endpointsharding.ChildState) []endpointsharding.ChildState {
	var unhealthy []endpointsharding.ChildState
	for _, c := range children {
		p, ok := c.State.Picker.(childPicker)
		if !ok {
			return nil // it has not started to connect
		}
		if s := p.child.unhealthy.Load(); s != nil {
			c.State = balancer.State{ConnectivityState: connectivity.Ready,
				Picker: fixedPicker{s.SubConn}}
			unhealthy = append(unhealthy, c)
		} else if c.State.ConnectivityState != connectivity.TransientFailure {
			return nil
		}
	}
	return unhealthy
}

type fixedPicker struct{ conn balancer.SubConn }

func (p fixedPicker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{SubConn: p.conn}, nil
}

// roundRobin picks among children if there is no tracker.
type roundRobin struct {
	children []endpointsharding.ChildState
	next     atomic.Uint32
}

func (p *roundRobin) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	c := p.children[p.next.Add(1)%uint32(len(p.children))]
	return c.State.Picker.Pick(info)
}
