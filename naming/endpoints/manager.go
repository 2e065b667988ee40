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

// manager is the Manager of one target. It is read-only after NewManager.
type manager struct {
	client *clientv3.Client
	prefix string // of every key of the target
}

// NewManager returns a Manager of the endpoints below target. It sends nothing, and lives as long
// as client. It returns an error if the client is nil or the target is empty.
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

// op returns the put or delete that makes one update.
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
		value, err := encode(up.Endpoint)
		if err != nil {
			return clientv3.Op{}, status.Errorf(codes.InvalidArgument,
				"endpoints: metadata of key %q: %v", up.Key, err)
		}
		return clientv3.OpPut(up.Key, value, up.Opts...), nil
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

// record is an endpoint as it is stored. Op is always Add, because other programs read it.
type record struct {
	Op       Operation
	Addr     string
	Metadata any
}

func encode(ep Endpoint) (string, error) {
	value, err := json.Marshal(record{Op: Add, Addr: ep.Addr, Metadata: ep.Metadata})
	return string(value), err
}

func decode(value []byte) (Endpoint, error) {
	var r record
	err := json.Unmarshal(value, &r)
	return Endpoint{Addr: r.Addr, Metadata: r.Metadata}, err
}
