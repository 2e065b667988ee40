package balancer

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
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

// readOneKey has a member do what every member at work can: a read of a key that is
// not there. One that defragments its store, or waits for other members, cannot; nor
// can it tell that the user may not read the key.
func readOneKey(ctx context.Context, m *Member) error {
	return m.ask(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, KeysOnly: true})
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
