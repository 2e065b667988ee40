// Package balancer decides which member gets the next request.
//
// It goes round the members in good standing. One that owes answers and stays
// silent while its peers are heard gets no more requests, and is probed; if it
// does not answer the probe either, its connection is closed, so that what waits
// on it can go elsewhere. One that is alive but much slower than its peers gets
// what it can answer. Members are only compared with each other over the same
// time: when all are silent or slow alike, nothing changes but that a connection
// which is silent for long is made anew.
//
// Connections are gRPC's business: each endpoint has a pick_first child, which
// connects and reconnects. This package follows the servers' health services,
// looks at the children that are connected and picks among them.
//
//   - standing.go is the state machine: samples in, verdicts out;
//   - dead.go tells connections that are dead where there is nothing to compare with;
//   - stuck.go tells members that are alive and answer nothing;
//   - behind.go keeps writes from members that have to catch up;
//   - picker.go is on every request's path;
//   - place.go moves streams to other members;
//   - probe.go asks one member for a sign of life;
//   - table.go runs the machine by a timer while there are requests;
//   - health.go asks each server for its health;
//   - resort.go keeps members whose health check fails for when there is no other;
//   - failures.go remembers why members cannot be reached.
//
// Lock order: table → nothing. A tick closes connections and reports after it
// has released the table's mutex. Health is reported, on a goroutine of our own,
// with a childSubConn's mutex held: that → pick_first's → endpointsharding's →
// table, gRPC's connection. gRPC calls us with none of these held that comes
// later than what we take.
package balancer

import (
	"encoding/json"

	"go.etcd.io/etcd/client/v3/internal/endpoint"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// Name is the policy's name in service configs.
const Name = "etcd_good_standing"

func init() { balancer.Register(builder{}) }

type tableKey struct{}

// Attributes is what tells the policy, by way of the resolver's state, which
// table to pick by. With a nil table members are asked in turn.
func (t *Table) Attributes() *attributes.Attributes {
	if t == nil {
		return nil
	}
	return attributes.New(tableKey{}, t)
}

type builder struct{}

func (builder) Name() string { return Name }

// config is the policy's part of a service config.
type config struct {
	serviceconfig.LoadBalancingConfig `json:"-"`

	// HealthCheck has members that report themselves not serving get no
	// requests while others do serve.
	HealthCheck bool `json:"healthCheck"`
}

func (builder) ParseConfig(text json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	c := &config{}
	return c, json.Unmarshal(text, c)
}

func (builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	judged, health := &judgedConn{ClientConn: cc}, newChecks()
	return &policy{
		Balancer: endpointsharding.NewBalancer(judged, opts, health.newChild, endpointsharding.Options{}),
		conn:     judged,
		health:   health,
	}
}

// policy hands endpoints to one pick_first child each.
type policy struct {
	balancer.Balancer
	conn   *judgedConn
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
	var gone []*Member
	if t, ok := s.ResolverState.Attributes.Value(tableKey{}).(*Table); ok && t != nil {
		if p.conn.table == nil { // later updates bring the same, while children may be reading it
			p.conn.table, p.health.table = t, t
		}
		gone = t.Retain(addresses)
	}
	if f, ok := s.ResolverState.Attributes.Value(failuresKey{}).(*Failures); ok && p.health.failures == nil {
		p.health.failures = f // likewise
	}
	p.health.failures.retain(addresses)
	state := s.ResolverState
	if c, ok := s.BalancerConfig.(*config); ok && c.HealthCheck {
		state = pickfirst.EnableHealthListener(state)
	}
	err := p.Balancer.UpdateClientConnState(balancer.ClientConnState{ResolverState: state})
	for _, m := range gone {
		m.streams.endAll()
	}
	return err
}

// judgedConn is the connection as the children's parent sees it: its picker is
// replaced by ours.
type judgedConn struct {
	balancer.ClientConn
	table *Table // set before any child exists; the same from then on
}

// NewSubConn secures a connection as its address demands: only so does gRPC's :scheme
// tell an encrypted one from another of the same client.
func (c *judgedConn) NewSubConn(addresses []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	if b := endpoint.BundleOf(addresses[0].Attributes); b != nil {
		//lint:ignore SA1019 gRPC asks an address's credentials for no :scheme
		opts.CredsBundle = b
	}
	//lint:ignore SA1019 it is what policies call
	return c.ClientConn.NewSubConn(addresses, opts)
}

func (c *judgedConn) UpdateState(s balancer.State) {
	children := endpointsharding.ChildStatesFromPicker(s.Picker)
	if s.ConnectivityState != connectivity.Ready {
		children = lastResort(children)
		if len(children) > 0 {
			s = balancer.State{ConnectivityState: connectivity.Ready, Picker: &inTurn{children: children}}
		}
	}
	if c.table != nil {
		picker := c.table.seat(children) // also where nobody is left, so that the next connection counts as new
		if s.ConnectivityState == connectivity.Ready {
			s.Picker = picker
		}
	}
	c.ClientConn.UpdateState(s)
}
