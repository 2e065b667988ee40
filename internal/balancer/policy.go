package balancer

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// Name is the policy's name in service configs.
const Name = "etcd_member_health"

func init() { balancer.Register(builder{}) }

type trackerKey struct{}

// Attributes returns attributes that carry t to the policy. A resolver puts them into its
// resolver.State. If t is nil, Attributes returns nil, and requests go round-robin.
func (t *Tracker) Attributes() *attributes.Attributes {
	if t == nil {
		return nil
	}
	return attributes.New(trackerKey{}, t)
}

type builder struct{}

func (builder) Name() string { return Name }

func (builder) Build(cc balancer.ClientConn, _ balancer.BuildOptions) balancer.Balancer {
	p := &policy{cc: cc}
	//nolint:forbidigo // gRPC builds a policy without a context; Close cancels this one
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// policy connects to every address, and passes gRPC a picker of the connections that requests may
// use. gRPC calls its methods and the listeners of its connections one at a time.
type policy struct {
	// read-only after Build
	cc     balancer.ClientConn
	ctx    context.Context // of the health checks
	cancel context.CancelFunc

	// safe for concurrent use
	checks sync.WaitGroup // the running health checks

	// set by the first UpdateClientConnState, before any connection exists
	tracker *Tracker

	// guarded by mu. mu is also held while a picker is passed to gRPC, so that an older picker
	// cannot replace a newer one.
	mu    sync.Mutex
	conns []*conn
}

// UpdateClientConnState connects to added addresses, and ends the connections to removed ones.
func (p *policy) UpdateClientConnState(s balancer.ClientConnState) error {
	if p.tracker == nil { // this is the first update
		p.tracker, _ = s.ResolverState.Attributes.Value(trackerKey{}).(*Tracker)
		if p.tracker == nil {
			p.tracker = New(p.ctx, Options{Even: true})
		}
	}
	var addresses []resolver.Address
	var names []string
	for _, e := range s.ResolverState.Endpoints {
		for _, a := range e.Addresses {
			if !slices.Contains(names, a.Addr) {
				addresses, names = append(addresses, a), append(names, a.Addr)
			}
		}
	}
	if len(addresses) == 0 {
		return balancer.ErrBadResolverState
	}
	removed := p.tracker.Retain(names)
	var err error
	p.change(func() { err = p.connectLocked(addresses) })
	for _, m := range removed {
		m.remove()
	}
	return err
}

// change runs f, which changes connections. After that, change passes gRPC a picker of the
// connections, and calls Options.Unreachable if no member can be reached.
func (p *policy) change(f func()) {
	p.mu.Lock()
	f()
	warn := false
	if len(p.conns) > 0 { // there are none after Close
		p.updateLocked()
		warn = p.tracker.noteFailures(p.conns)
	}
	p.mu.Unlock()
	if warn && p.tracker.Unreachable != nil {
		p.tracker.Unreachable()
	}
}

// connectLocked replaces the set of addresses that the policy connects to. It keeps the connections
// to unchanged addresses, starts one to each new address, and ends the others. It returns an error
// only if gRPC is closing.
func (p *policy) connectLocked(addresses []resolver.Address) error {
	conns := make([]*conn, 0, len(addresses))
	for _, a := range addresses {
		i := slices.IndexFunc(p.conns, func(c *conn) bool { return c.address.Equal(a) })
		if i >= 0 {
			conns = append(conns, p.conns[i])
			continue
		}
		c, err := p.newConn(a)
		if err != nil {
			return err // gRPC is closing
		}
		conns = append(conns, c)
	}
	for _, c := range p.conns {
		if !slices.Contains(conns, c) {
			c.shutdownLocked()
		}
	}
	p.conns = conns
	return nil
}

// updateLocked passes gRPC a picker of the connections that requests may use. If there are none, it
// passes a picker that returns an error.
func (p *policy) updateLocked() {
	usable, whole, err := p.usableLocked()
	// pickerOf is called even if usable is empty. The tracker then notes that no member is
	// connected, and counts each later connection as new.
	var picker balancer.Picker = p.tracker.pickerOf(usable)
	if whole != connectivity.Ready {
		picker = base.NewErrPicker(err)
	}
	p.cc.UpdateState(balancer.State{ConnectivityState: whole, Picker: picker})
}

// usableLocked returns the connections that requests may use, and the state to report to gRPC. If
// there is no connection to use, err is the error for requests. usableLocked returns:
//
//  1. the connections to healthy servers, if there are any
//  2. none, if a connection is still connecting or waits for its first health check
//  3. the connections to unhealthy servers: without them, requests would wait for ever
//
// A server is unhealthy if it reports that it does not serve, or refuses the health check. Learners
// refuse it, because they refuse all streams.
func (p *policy) usableLocked() (usable []*conn, whole connectivity.State, err error) {
	var fallback []*conn
	pending := false
	err = errNotConnected
	for _, c := range p.conns {
		switch c.state {
		case connecting, unchecked:
			pending = true
		case failed:
			err = c.err
		case healthy:
			usable = append(usable, c)
		case unhealthy:
			fallback = append(fallback, c)
		}
	}
	switch {
	case len(usable) > 0:
		return usable, connectivity.Ready, nil
	case pending:
		return nil, connectivity.Connecting, balancer.ErrNoSubConnAvailable
	case len(fallback) > 0:
		return fallback, connectivity.Ready, nil
	}
	return nil, connectivity.TransientFailure, err
}

// ResolverError does nothing: the client's resolver has no errors.
func (p *policy) ResolverError(error) {}

// UpdateSubConnState is never called, because each connection has a listener for its states.
func (p *policy) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle does nothing: the policy connects again by itself when a connection is idle.
func (p *policy) ExitIdle() {}

// Close ends the connections, and waits for the health checks.
func (p *policy) Close() {
	p.cancel()
	p.mu.Lock()
	for _, c := range p.conns {
		c.shutdownLocked()
	}
	p.conns = nil
	p.mu.Unlock()
	p.checks.Wait()
}
