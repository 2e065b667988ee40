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

// A member whose health check fails, because it says that it does not serve or
// because it refuses the check, as learners refuse all streams, is the last
// resort: it is asked where no other member is connected or about to be. gRPC
// would let requests wait for ever then.

// newChild makes the pick_first policy of one endpoint.
func (c *checks) newChild(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return balancer.Get(pickfirst.Name).Build(&childConn{ClientConn: cc, checks: c}, opts)
}

// childConn is the connection as one child sees it. It notes which connection
// there is while its health check fails.
type childConn struct {
	balancer.ClientConn
	checks    *checks
	unhealthy atomic.Pointer[childSubConn]
}

func (c *childConn) NewSubConn(addresses []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	s := &childSubConn{child: c, stop: func() {}}
	if t := c.checks.table; t != nil && len(addresses) > 0 {
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
	//lint:ignore SA1019 a child has one address; the method itself has no successor
	s.SubConn, err = c.ClientConn.NewSubConn(addresses, opts)
	return s, err
}

func (c *childConn) UpdateState(s balancer.State) {
	s.Picker = childPicker{Picker: s.Picker, child: c}
	c.ClientConn.UpdateState(s)
}

// childSubConn follows the health of one connection. Between two attempts at a
// check that fails it stays what it was.
type childSubConn struct {
	balancer.SubConn
	child      *childConn
	member     *Member // nil: not judged
	handshakes handshakes
	stop       context.CancelFunc // of the health check; used by the callbacks of gRPC only, which come one at a time

	// Held while health is reported, and when the check is stopped: nothing is
	// reported of a connection that is no more.
	mu sync.Mutex
}

// Connect implements balancer.SubConn. After a refused handshake it waits.
func (s *childSubConn) Connect() { s.handshakes.connect(s.SubConn.Connect) }

// Shutdown implements balancer.SubConn.
func (s *childSubConn) Shutdown() {
	s.handshakes.stop()
	s.SubConn.Shutdown()
}

// note has the member probed on this connection, or no more.
func (s *childSubConn) note(state connectivity.State) {
	switch {
	case s.member == nil:
	case state == connectivity.Ready:
		s.member.subConn.Store(s)
	default:
		s.member.subConn.CompareAndSwap(s, nil)
	}
}

// RegisterHealthListener is called by pick_first, from the callback that tells
// that the connection is ready.
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

// childPicker gives gRPC its own connection back.
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

// lastResort returns the children to ask where none is ready. There are none as
// long as another child may yet connect, or be found healthy.
func lastResort(children []endpointsharding.ChildState) []endpointsharding.ChildState {
	var last []endpointsharding.ChildState
	for _, c := range children {
		p, ok := c.State.Picker.(childPicker)
		if !ok {
			return nil // has not begun
		}
		if s := p.child.unhealthy.Load(); s != nil {
			c.State = balancer.State{ConnectivityState: connectivity.Ready, Picker: fixedPicker{s.SubConn}}
			last = append(last, c)
		} else if c.State.ConnectivityState != connectivity.TransientFailure {
			return nil
		}
	}
	return last
}

type fixedPicker struct{ conn balancer.SubConn }

func (p fixedPicker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{SubConn: p.conn}, nil
}

// inTurn asks children in turn, where there is no table.
type inTurn struct {
	children []endpointsharding.ChildState
	turn     atomic.Uint32
}

func (p *inTurn) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	c := p.children[p.turn.Add(1)%uint32(len(p.children))]
	return c.State.Picker.Pick(info)
}
