// Package endpoints keeps the addresses of a service in etcd, and follows their changes.
//
//	manager, err := endpoints.NewManager(client, "svc")
//	err = manager.AddEndpoint(ctx, "svc/1", endpoints.Endpoint{Addr: addr}, clientv3.WithLease(id))
//	all, err := manager.List(ctx) // or NewWatchChannel, which goes on with the changes
//
// The name of a service is called a target. Each endpoint of the service is one key, whose name
// begins with the target and a slash. Its value is a JSON object:
//
//	svc/10.0.0.1:8080    {"Op":0,"Addr":"10.0.0.1:8080","Metadata":null}
//
// Attach an endpoint to a lease of the process that serves the endpoint, with clientv3.WithLease.
// When the process ends, its lease expires, and the server deletes the endpoint. Package
// naming/resolver passes the endpoints of a target to gRPC.
package endpoints

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Endpoint is one address at which a service is served.
type Endpoint struct {
	// Addr is the address, in the form that the service's clients expect.
	Addr string

	// Metadata is any value that encoding/json can write, or nil. When it is read back, it has the
	// types to which encoding/json decodes by default: float64 for numbers, map[string]any for
	// objects.
	Metadata any
}

// Key2EndpointMap maps the keys of endpoints in etcd to the endpoints.
type Key2EndpointMap map[string]Endpoint

// WatchChannel delivers the changes of a target's endpoints. Each slice holds the changes of one
// revision. See Manager.NewWatchChannel.
type WatchChannel <-chan []*Update

// Manager changes, lists and follows the endpoints of one target. All methods are safe for
// concurrent use. Errors, retries and the effect of the context are those of clientv3.KV.
//
// A key must begin with the target and a slash. Any other key is refused with codes.InvalidArgument
// before anything is sent. For example, "svc2/a" is not a key of the target "svc", and is not
// listed or followed as an endpoint of "svc".
type Manager interface {
	// Update makes all updates in one transaction: all of them or none. An empty list is a no-op.
	// Errors are, among others:
	//
	//   - codes.InvalidArgument: a key does not belong to the target, an update is nil or has an
	//     unknown Op, or encoding/json cannot write the Metadata.
	//   - rpctypes.ErrDuplicateKey: the list has two updates of one key.
	//   - rpctypes.ErrTooManyOps: the list is longer than the server's --max-txn-ops.
	Update(ctx context.Context, updates []*UpdateWithOpts) error

	// AddEndpoint sets key to endpoint. If key exists, it is overwritten.
	AddEndpoint(ctx context.Context, key string, endpoint Endpoint, opts ...clientv3.OpOption) error

	// DeleteEndpoint deletes key. It returns nil if key does not exist.
	DeleteEndpoint(ctx context.Context, key string, opts ...clientv3.OpOption) error

	// List returns all endpoints of the target, by one linearizable read. It leaves out keys whose
	// values do not decode.
	List(ctx context.Context) (Key2EndpointMap, error)

	// NewWatchChannel lists the endpoints, and then follows their changes. It blocks until the
	// endpoints are listed. The channel is closed when ctx ends or the client is closed, even if
	// nothing reads it.
	//
	// The channel first delivers one slice with an Add for each endpoint, ordered by key. It leaves
	// out this slice if there are no endpoints. Then it delivers all changes, in order. It skips a
	// new value that does not decode: the key's last delivered endpoint stays valid.
	//
	// If the watch is lost, for example because changes were compacted, the endpoints are listed
	// again. The channel then delivers the differences: an Add for each key that was put since, and
	// a Delete for each key that is gone.
	//
	// If the consumer does not read, the channel waits. Meanwhile the client buffers events as it
	// does for any watch. The consumer owns the updates that it receives.
	NewWatchChannel(ctx context.Context) (WatchChannel, error)
}

// Update is one change of one endpoint.
type Update struct {
	// Op says whether the endpoint was added or deleted.
	Op Operation

	// Key is the endpoint's key in etcd: the target, a slash, and a name.
	Key string

	// Endpoint is the new endpoint; zero for Delete.
	Endpoint Endpoint
}

// UpdateWithOpts is an Update, with options for the put or the delete that carries it out.
type UpdateWithOpts struct {
	Update

	// Opts are options of clientv3.OpPut for Add, and of clientv3.OpDelete for Delete. OpPut and
	// OpDelete panic if they are given an option that they do not accept.
	Opts []clientv3.OpOption
}

// NewAddUpdateOpts returns the update that sets key to endpoint.
func NewAddUpdateOpts(key string, endpoint Endpoint, opts ...clientv3.OpOption) *UpdateWithOpts {
	return &UpdateWithOpts{Update: Update{Op: Add, Key: key, Endpoint: endpoint}, Opts: opts}
}

// NewDeleteUpdateOpts returns the update that deletes key.
func NewDeleteUpdateOpts(key string, opts ...clientv3.OpOption) *UpdateWithOpts {
	return &UpdateWithOpts{Update: Update{Op: Delete, Key: key}, Opts: opts}
}

// Operation says what an Update does.
type Operation uint8

const (
	// Add adds an endpoint, or replaces the endpoint that has the key.
	Add Operation = iota
	// Delete removes an endpoint.
	Delete
)

// manager is the Manager of one target. It is read-only after NewManager.
type manager struct {
	client *clientv3.Client
	prefix string // the target and a slash; the key of each endpoint begins with it
}

// NewManager returns a Manager of the endpoints of target. NewManager sends nothing. The Manager
// can be used until client is closed. NewManager returns an error if client is nil or target is
// empty.
func NewManager(client *clientv3.Client, target string) (Manager, error) {
	if client == nil {
		return nil, errors.New("endpoints: no client given")
	}
	if target == "" {
		return nil, errors.New("endpoints: the target is empty")
	}
	return &manager{client: client, prefix: target + "/"}, nil
}

func (m *manager) AddEndpoint(
	ctx context.Context, key string, endpoint Endpoint, opts ...clientv3.OpOption,
) error {
	return m.Update(ctx, []*UpdateWithOpts{NewAddUpdateOpts(key, endpoint, opts...)})
}

func (m *manager) DeleteEndpoint(ctx context.Context, key string, opts ...clientv3.OpOption) error {
	return m.Update(ctx, []*UpdateWithOpts{NewDeleteUpdateOpts(key, opts...)})
}

func (m *manager) Update(ctx context.Context, updates []*UpdateWithOpts) error {
	if len(updates) == 0 {
		return nil
	}
	ops := make([]clientv3.Op, len(updates))
	for i, up := range updates {
		var err error
		if ops[i], err = m.op(up); err != nil {
			return err
		}
	}
	_, err := m.client.Txn(ctx).Then(ops...).Commit()
	return err
}

// op returns the put or delete that carries out one update.
func (m *manager) op(up *UpdateWithOpts) (clientv3.Op, error) {
	if up == nil {
		return clientv3.Op{}, status.Error(codes.InvalidArgument, "endpoints: an update is nil")
	}
	if !strings.HasPrefix(up.Key, m.prefix) {
		return clientv3.Op{}, status.Errorf(codes.InvalidArgument,
			"endpoints: key %q does not start with %q", up.Key, m.prefix)
	}
	switch up.Op {
	case Add:
		value, err := json.Marshal(record{Op: Add, Addr: up.Endpoint.Addr,
			Metadata: up.Endpoint.Metadata})
		if err != nil {
			return clientv3.Op{}, status.Errorf(codes.InvalidArgument,
				"endpoints: metadata of key %q: %v", up.Key, err)
		}
		return clientv3.OpPut(up.Key, string(value), up.Opts...), nil
	case Delete:
		return clientv3.OpDelete(up.Key, up.Opts...), nil
	default:
		return clientv3.Op{}, status.Errorf(codes.InvalidArgument,
			"endpoints: update of key %q has unknown operation %d", up.Key, up.Op)
	}
}

func (m *manager) List(ctx context.Context) (Key2EndpointMap, error) {
	resp, err := m.client.Get(ctx, m.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	eps := make(Key2EndpointMap, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		if ep, err := decode(kv.GetValue()); err == nil {
			eps[string(kv.GetKey())] = ep
		}
	}
	return eps, nil
}

// record is the JSON form of an endpoint. Op is always Add. It is written only because other
// programs expect the field.
type record struct {
	Op       Operation
	Addr     string
	Metadata any
}

func decode(value []byte) (Endpoint, error) {
	var r record
	err := json.Unmarshal(value, &r)
	return Endpoint{Addr: r.Addr, Metadata: r.Metadata}, err
}
