// Package resolver passes the addresses of etcd's members to a gRPC connection.
package resolver

import (
	"net/url"
	"sync"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
)

// Scheme is the scheme of the targets that a [Resolver] resolves.
const Scheme = "etcd-endpoints"

// Resolver passes the addresses given to New and Set to one gRPC connection. It is safe for
// concurrent use.
type Resolver struct {
	// read-only after New
	serviceConfig string
	authority     string
	attributes    *attributes.Attributes

	// push is held while gRPC takes an update, so that the addresses of the last Set win. There is
	// no deadlock: in that time gRPC calls no method of the Resolver that takes push.
	push sync.Mutex

	// guarded by push
	addresses []resolver.Address
	conn      resolver.ClientConn
}

// New returns a Resolver for a connection to addresses. serviceConfig is the connection's gRPC
// service config in JSON. The connection's balancer gets the attributes. The connection's
// authority is the server name of the first address.
func New(serviceConfig string, a *attributes.Attributes, addresses []resolver.Address) *Resolver {
	r := &Resolver{serviceConfig: serviceConfig, attributes: a, addresses: addresses}
	if len(addresses) > 0 {
		r.authority = addresses[0].ServerName
	}
	return r
}

// Target returns the target to pass to grpc.NewClient along with grpc.WithResolvers(r). gRPC parses
// it as a URL, in which the zone of an IPv6 address must be escaped.
func (r *Resolver) Target() string { return Scheme + ":///" + url.PathEscape(r.authority) }

// Scheme implements resolver.Builder.
func (r *Resolver) Scheme() string { return Scheme }

// OverrideAuthority returns the authority that requests carry: that of the first endpoint.
func (r *Resolver) OverrideAuthority(resolver.Target) string { return r.authority }

// Build implements resolver.Builder.
func (r *Resolver) Build(
	_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions,
) (resolver.Resolver, error) {
	r.push.Lock()
	defer r.push.Unlock()
	r.conn = conn
	r.pushLocked()
	return r, nil
}

// Set replaces the addresses. Connections to addresses that stay are kept.
func (r *Resolver) Set(addresses []resolver.Address) {
	r.push.Lock()
	defer r.push.Unlock()
	r.addresses = addresses
	r.pushLocked()
}

func (r *Resolver) pushLocked() {
	if r.conn == nil {
		return
	}
	// The error is ignored: either the connection is closing, or the balancer asks to resolve the
	// target again, which would return the same addresses.
	_ = r.conn.UpdateState(resolver.State{
		Addresses:     r.addresses,
		ServiceConfig: r.conn.ParseServiceConfig(r.serviceConfig),
		Attributes:    r.attributes,
	})
}

// ResolveNow implements resolver.Resolver. It does nothing, because only Set changes the addresses.
func (r *Resolver) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (r *Resolver) Close() {}
