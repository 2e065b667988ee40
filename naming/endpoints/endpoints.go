// Package endpoints keeps the addresses of a service in etcd, and follows them.
//
// A service is named by a target. Each of its endpoints is one key below the
// target and a slash; the value is a JSON object:
//
//	svc/10.0.0.1:8080    {"Op":0,"Addr":"10.0.0.1:8080","Metadata":null}
//
// Attach an endpoint to the lease of the process that serves it, with
// clientv3.WithLease, and it disappears with that process. Package
// naming/resolver gives the endpoints of a target to gRPC.
package endpoints

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Endpoint is one address at which a service is served.
type Endpoint struct {
	// Addr is the address, in whatever form those who dial it expect.
	Addr string

	// Metadata is anything that encoding/json can write; nil is fine. It is read
	// back in the types that encoding/json uses for an any: float64 for numbers,
	// map[string]any for objects.
	Metadata any
}

// Key2EndpointMap holds endpoints by their keys in etcd.
type Key2EndpointMap map[string]Endpoint

// WatchChannel delivers changes of a target's endpoints, those of one revision
// together. See Manager.NewWatchChannel.
type WatchChannel <-chan []*Update

// Manager changes, lists and follows the endpoints of one target. All methods
// are safe for concurrent use. Where a method sends a request, its errors, its
// retries and what its context does are those of clientv3.KV.
//
// A key that is not below the target is refused with codes.InvalidArgument
// before anything is sent. So "svc2/a" is none of the keys of the target
// "svc", neither here nor when its endpoints are listed or followed.
type Manager interface {
	// Update makes all updates in one transaction: all of them or none. No updates
	// are none. codes.InvalidArgument is also the answer to an update that is
	// nil or has an unknown Op, and to Metadata that encoding/json cannot write. The
	// server refuses two updates of one key (rpctypes.ErrDuplicateKey), and
	// more than its --max-txn-ops (rpctypes.ErrTooManyOps).
	Update(ctx context.Context, updates []*UpdateWithOpts) error

	// AddEndpoint sets key to endpoint, whether or not it existed.
	AddEndpoint(ctx context.Context, key string, endpoint Endpoint, opts ...clientv3.OpOption) error

	// DeleteEndpoint deletes key. It is no error that there is none.
	DeleteEndpoint(ctx context.Context, key string, opts ...clientv3.OpOption) error

	// List returns all endpoints of the target, by one linearizable read. Keys
	// whose values are no endpoints are left out.
	List(ctx context.Context) (Key2EndpointMap, error)

	// NewWatchChannel lists the endpoints and follows their changes from there on.
	// It blocks until they are listed. The channel first delivers an Add for each
	// of them, ordered by key, in one slice; nothing, if there are none. After
	// that come the changes, in order and none left out. Of a value that is no
	// endpoint nothing is told: the key's last endpoint stays.
	//
	// Where changes cannot be had any more because they were compacted, or the watch
	// was lost for another reason, the endpoints are listed again, and what differs
	// from what was delivered is: an Add for each key that was put since, a
	// Delete for each that is gone. This goes on until ctx ends or the client is
	// closed. Then the channel is closed, even if it is not read.
	//
	// A consumer that does not read is waited for; meanwhile the client keeps as
	// much as it does for any watch. What is delivered belongs to the consumer.
	NewWatchChannel(ctx context.Context) (WatchChannel, error)
}
