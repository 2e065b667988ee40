// Package balancer decides which member gets the next request.
//
// It goes round the members in good standing. One that owes answers and stays
// silent while its peers are heard gets no more requests, and is probed; if it
// does not answer the probe either, its connection is closed, so that what waits
// on it can go elsewhere. One that is alive but much slower than its peers gets
// what it can answer. Members are only compared with each other over the same
// time: when all are silent or slow alike, nothing changes.
//
// Connections are gRPC's business: each endpoint has a pick_first child, which
// connects, reconnects, and follows the server's health service. This package
// looks at the children that are connected and picks among them.
//
//   - standing.go is the state machine: samples in, verdicts out;
//   - picker.go is on every request's path;
//   - table.go runs the machine by a timer while there are requests;
//   - resort.go keeps members whose health check fails for when there is no other.
//
// Lock order: table → nothing. A tick closes connections and reports after it
// has released the table's mutex.
package balancer

import (
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
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

func (builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	judged := &judgedConn{ClientConn: cc}
	return &policy{
		Balancer: endpointsharding.NewBalancer(judged, opts, newChild, endpointsharding.Options{}),
		conn:     judged,
	}
}

// policy hands endpoints to one pick_first child each.
type policy struct {
	balancer.Balancer
	conn *judgedConn
}

func (p *policy) UpdateClientConnState(s balancer.ClientConnState) error {
	if t, ok := s.ResolverState.Attributes.Value(tableKey{}).(*Table); ok && t != nil {
		p.conn.table = t
		addresses := make([]string, 0, len(s.ResolverState.Endpoints))
		for _, e := range s.ResolverState.Endpoints {
			for _, a := range e.Addresses {
				addresses = append(addresses, a.Addr)
			}
		}
		t.Retain(addresses)
	}
	return p.Balancer.UpdateClientConnState(balancer.ClientConnState{
		ResolverState: pickfirst.EnableHealthListener(s.ResolverState),
	})
}

// judgedConn is the connection as the children's parent sees it: its picker is
// replaced by ours.
type judgedConn struct {
	balancer.ClientConn
	table *Table // set before any child exists; the same from then on
}

func (c *judgedConn) UpdateState(s balancer.State) {
	children := endpointsharding.ChildStatesFromPicker(s.Picker)
	if s.ConnectivityState != connectivity.Ready {
		children = lastResort(children)
		if len(children) > 0 {
			s = balancer.State{ConnectivityState: connectivity.Ready, Picker: &inTurn{children: children}}
		}
	}
	if c.table != nil && s.ConnectivityState == connectivity.Ready {
		s.Picker = c.table.seat(children)
	}
	c.ClientConn.UpdateState(s)
}
