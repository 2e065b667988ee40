package balancer

import (
	"encoding/json"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"go.etcd.io/etcd/client/v3/internal/endpoint"
)

// Name is the policy's name in service configs.
const Name = "etcd_member_health"

func init() { balancer.Register(builder{}) }

type trackerKey struct{}

// Attributes are for the resolver's state. They tell the policy which tracker to use. With a
// nil tracker requests go round-robin.
func (t *Tracker) Attributes() *attributes.Attributes {
	if t == nil {
		return nil
	}
	return attributes.New(trackerKey{}, t)
}

type builder struct{}

func (builder) Name() string { return Name }

// config is the policy's part of a service config.
type config struct {
	serviceconfig.LoadBalancingConfig `json:"-"`

	// HealthCheck excludes members that report themselves not serving, while others serve.
	HealthCheck bool `json:"healthCheck"`
}

func (builder) ParseConfig(text json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	c := &config{}
	return c, json.Unmarshal(text, c)
}

func (builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	conn, health := &pickerConn{ClientConn: cc}, newChecks()
	return &policy{
		Balancer: endpointsharding.NewBalancer(conn, opts, health.newChild,
			endpointsharding.Options{}),
		conn:   conn,
		health: health,
	}
}

// policy hands endpoints to one pick_first child each.
type policy struct {
	balancer.Balancer
	conn   *pickerConn
	health *checks
}

func (p *policy) Close() {
	p.health.failures.close()
	p.Balancer.Close()
	p.health.close()
}

func (p *policy) UpdateClientConnState(s balancer.ClientConnState) error {
	addresses := make([]string, 0, len(s.ResolverState.Endpoints))
	for _, e := range s.ResolverState.Endpoints {
		for _, a := range e.Addresses {
			addresses = append(addresses, a.Addr)
		}
	}
	var removed []*Member
	if t, ok := s.ResolverState.Attributes.Value(trackerKey{}).(*Tracker); ok && t != nil {
		if p.conn.tracker == nil { // later updates have the same, while children may be reading it
			p.conn.tracker, p.health.tracker = t, t
		}
		removed = t.Retain(addresses)
	}
	if f, ok := s.ResolverState.Attributes.Value(failuresKey{}).(*Failures); ok &&
		p.health.failures == nil {
		p.health.failures = f // later updates have the same
	}
	p.health.failures.retain(addresses)
	state := s.ResolverState
	if c, ok := s.BalancerConfig.(*config); ok && c.HealthCheck {
		state = pickfirst.EnableHealthListener(state)
	}
	err := p.Balancer.UpdateClientConnState(balancer.ClientConnState{ResolverState: state})
	for _, m := range removed {
		m.streams.endAll()
	}
	return err
}

// pickerConn is the connection as the children's parent sees it. It replaces the picker.
type pickerConn struct {
	balancer.ClientConn
	tracker *Tracker // set before any child exists; the same from then on
}

// NewSubConn uses the credentials of the connection's address: gRPC derives :scheme from
// them, which may differ between the connections of one client.
func (c *pickerConn) NewSubConn(
	addresses []resolver.Address, opts balancer.NewSubConnOptions,
) (balancer.SubConn, error) {
	if b := endpoint.BundleOf(addresses[0].Attributes); b != nil {
		//nolint:staticcheck // gRPC asks an address's credentials for no :scheme
		opts.CredsBundle = b
	}
	//nolint:staticcheck // it is what policies call
	return c.ClientConn.NewSubConn(addresses, opts)
}

func (c *pickerConn) UpdateState(s balancer.State) {
	children := endpointsharding.ChildStatesFromPicker(s.Picker)
	if s.ConnectivityState != connectivity.Ready {
		children = fallback(children)
		if len(children) > 0 {
			s = balancer.State{ConnectivityState: connectivity.Ready,
				Picker: &roundRobin{children: children}}
		}
	}
	if c.tracker != nil {
		// even without children, so that the next connection is new
		picker := c.tracker.pickerOf(children)
		if s.ConnectivityState == connectivity.Ready {
			s.Picker = picker
		}
	}
	c.ClientConn.UpdateState(s)
}
