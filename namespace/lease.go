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

// NewLease returns a Lease for the namespace of the keys that begin with prefix. Its TimeToLive
// returns only the attached keys that begin with prefix, and returns them without it. All other
// methods are those of l, because leases belong to no namespace. So Close of the returned Lease
// closes l.
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
