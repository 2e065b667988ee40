package balancer

import (
	"context"

	"go.etcd.io/etcd/client/v3/internal/origin"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// askHealth has a member give a sign of life: any answer is one.
func askHealth(ctx context.Context, m *Member) error {
	return m.ask(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
		return err
	})
}

// ask makes a request on the member's connection itself, where no interceptor can
// answer in the member's place.
func (m *Member) ask(ctx context.Context, request func(context.Context, grpc.ClientConnInterface) error) error {
	s := m.subConn.Load()
	if s == nil {
		return errNotConnected
	}
	producer, release := s.SubConn.GetOrBuildProducer(rpcs{})
	defer release()
	return request(origin.Client(ctx), producer.(grpc.ClientConnInterface))
}
