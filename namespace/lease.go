package namespace

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// prefixLease is the Lease of a namespace.
type prefixLease struct {
	clientv3.Lease
	space
}

// NewLease returns a Lease that differs from l only in what it tells of the keys
// attached to a lease: those that begin with prefix, without it. Leases belong to no
// namespace. Closing either closes l.
func NewLease(l clientv3.Lease, prefix string) clientv3.Lease {
	return &prefixLease{Lease: l, space: newSpace(prefix)}
}

func (l *prefixLease) TimeToLive(
	ctx context.Context, id clientv3.LeaseID, opts ...clientv3.LeaseOption,
) (*clientv3.LeaseTimeToLiveResponse, error) {
	resp, err := l.Lease.TimeToLive(ctx, id, opts...)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for _, key := range resp.Keys {
		if key, ok := l.inner(key); ok {
			keys = append(keys, key)
		}
	}
	resp.Keys = keys
	return resp, nil
}
