package clientv3

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/v3/internal/origin"
	"google.golang.org/grpc/metadata"
)

// WithRequireLeader returns a context whose requests fail with
// rpctypes.ErrNoLeader on a member that has no leader, instead of waiting for
// one. Watches and keepalives started with it end with that error when the
// member they are served by loses its leader. Other outgoing metadata of ctx
// is kept. (Metadata key "hasleader".)
func WithRequireLeader(ctx context.Context) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx) // a copy
	if md == nil {
		md = metadata.MD{}
	}
	md.Set(rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	return metadata.NewOutgoingContext(ctx, md)
}

// IsInternalRequest reports whether ctx, as an interceptor among
// Config.DialOptions sees it, is that of a request that the client makes by itself:
// a login, a question about a member or a lease, the automatic Sync. The
// documentation of [Config] lists them. Metrics and access rules can so leave out
// what the program did not ask for.
func IsInternalRequest(ctx context.Context) bool { return origin.IsClient(ctx) }
