package balancer

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"go.etcd.io/etcd/client/v3/internal/origin"
)

// checkHealth sends a health check to a member. Any answer shows that the member is alive.
func checkHealth(ctx context.Context, m *Member) error {
	return m.send(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
		return err
	})
}

// readOneKey reads a key that does not exist. A member that works answers this, or refuses it to a
// user who may not read the key. A member that defragments its store, or waits for other members,
// does neither.
func readOneKey(ctx context.Context, m *Member) error {
	return m.send(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, KeysOnly: true})
		return err
	})
}

// send sends a request on the member's connection itself, so that no interceptor can answer in the
// member's place.
func (m *Member) send(
	ctx context.Context, request func(context.Context, grpc.ClientConnInterface) error,
) error {
	c := m.conn.Load()
	if c == nil {
		return errNotConnected
	}
	rpc, release := c.rpc()
	defer release()
	return request(origin.Client(ctx), rpc)
}
