// Package resolver passes the endpoints of a service from etcd to gRPC. Package naming/endpoints
// stores these endpoints in etcd.
//
//	etcd, err := resolver.NewBuilder(client)
//	...
//	conn, err := grpc.NewClient("etcd:///svc", grpc.WithResolvers(etcd), ...)
//
// The connection uses the endpoints of the target "svc", and follows their changes as long as it is
// in use.
package resolver

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"google.golang.org/grpc/codes"
	gresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// NewBuilder returns a resolver builder for gRPC targets of the scheme "etcd". For example,
// "etcd:///svc" stands for the endpoints of the target "svc". Pass the builder to
// grpc.WithResolvers. One builder can serve any number of connections.
//
// RPCs of a connection wait until there is an endpoint, even while etcd cannot be reached. Other
// cases:
//
//   - etcd refuses to list the endpoints: RPCs without WaitForReady fail with etcd's error. The
//     resolver tries again, with growing waits.
//   - etcd can no longer be reached: the connection keeps the endpoints that were listed. Soon
//     after etcd can be reached again, it gets the current ones.
//   - The last endpoint is deleted: RPCs without WaitForReady fail.
//
// gRPC gets each endpoint both in State.Endpoints and in State.Addresses, ordered by key.
// Address.Metadata is the endpoint's Metadata if that is a string, a number, a boolean or nil. For
// a JSON object or array, it is a pointer of type *map[string]any or *[]any, because balancing
// policies compare addresses by ==, which panics for maps and slices. When the Metadata changes,
// the pointer changes, too.
//
// The client must stay open as long as the connections. Once the client is closed, the connections
// keep the endpoints that they know. The error of NewBuilder is always nil. If the client is nil,
// or a target has no name, all RPCs of the connection fail with an error that says so.
func NewBuilder(client *clientv3.Client) (gresolver.Builder, error) {
	return builder{client}, nil
}

type builder struct{ client *clientv3.Client }

// Scheme returns "etcd".
func (b builder) Scheme() string { return "etcd" }

// Build starts to follow the endpoints of a target. It does not wait until they are listed. It
// returns an error with codes.InvalidArgument if the target has no name or the builder has no
// client.
func (b builder) Build(
	target gresolver.Target, cc gresolver.ClientConn, _ gresolver.BuildOptions,
) (gresolver.Resolver, error) {
	m, err := endpoints.NewManager(b.client, target.Endpoint())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "resolver: target %q: %v",
			target.URL.String(), err)
	}
	// ctx ends when the resolver or the client is closed.
	ctx, cancel := context.WithCancel(b.client.Ctx())
	r := &resolver{m: m, cc: cc, cancel: cancel, done: make(chan struct{}),
		known: endpoints.Key2EndpointMap{}}
	// The goroutine ends with ctx. Close waits for it.
	go func() {
		defer close(r.done)
		r.run(ctx)
	}()
	return r, nil
}

// resolver follows the endpoints of one target for one connection.
type resolver struct {
	// read-only after Build
	m      endpoints.Manager
	cc     gresolver.ClientConn
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine of run ends

	// used by run alone: the endpoints last passed to the connection, by key
	known endpoints.Key2EndpointMap
}

// ResolveNow does nothing, because the resolver already follows all changes.
func (r *resolver) ResolveNow(gresolver.ResolveNowOptions) {}

// Close ends the resolver, and returns when its goroutine has ended.
func (r *resolver) Close() {
	r.cancel()
	<-r.done
}

// run passes the target's endpoints to the connection until ctx ends.
func (r *resolver) run(ctx context.Context) {
	_ = await.Loop(ctx, nil, func(ctx context.Context) (await.Change, error) {
		updates, err := r.m.NewWatchChannel(ctx)
		if err != nil {
			r.cc.ReportError(err)
			return nil, err
		}
		r.applyUpdates(updates)
		return nil, nil
	}, nil)
}

// applyUpdates passes updates to the connection until the channel is closed.
func (r *resolver) applyUpdates(updates endpoints.WatchChannel) {
	for ups := range updates {
		for _, up := range ups {
			if up.Op == endpoints.Delete {
				delete(r.known, up.Key)
			} else {
				up.Endpoint.Metadata = byPointer(up.Endpoint.Metadata, r.known[up.Key].Metadata)
				r.known[up.Key] = up.Endpoint
			}
		}
		// An error of UpdateState asks the resolver to resolve again, for example because there are
		// no addresses. The error is ignored, because this resolver passes on the next change in
		// any case.
		_ = r.cc.UpdateState(state(r.known))
	}
}

// byPointer returns metadata in a form that == can compare. For a JSON object or array, this is a
// pointer. The parameter before is the result of byPointer for the endpoint's previous metadata. If
// it points to an equal object or array, byPointer returns this old pointer, so that == finds the
// old and the new metadata equal.
func byPointer(metadata, before any) any {
	switch metadata.(type) {
	case map[string]any, []any:
		now := reflect.New(reflect.TypeOf(metadata))
		now.Elem().Set(reflect.ValueOf(metadata))
		if reflect.DeepEqual(before, now.Interface()) {
			return before
		}
		return now.Interface()
	}
	return metadata
}

// state returns the endpoints in the form that gRPC expects, ordered by key.
func state(eps endpoints.Key2EndpointMap) gresolver.State {
	s := gresolver.State{
		Addresses: make([]gresolver.Address, 0, len(eps)),
		Endpoints: make([]gresolver.Endpoint, 0, len(eps)),
	}
	for _, key := range slices.Sorted(maps.Keys(eps)) {
		//nolint:staticcheck // old balancing policies look for metadata in this deprecated field
		addr := gresolver.Address{Addr: eps[key].Addr, Metadata: eps[key].Metadata}
		s.Addresses = append(s.Addresses, addr)
		s.Endpoints = append(s.Endpoints, gresolver.Endpoint{Addresses: []gresolver.Address{addr}})
	}
	return s
}
