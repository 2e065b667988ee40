package balancer

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/origin"
)

// healthBackoff is the wait before a member's health is checked again, after the stream of the last
// health check has ended.
var healthBackoff = backoff.Policy{Base: 200 * time.Millisecond, Max: time.Minute, Jitter: 0.3}

// healthStallTimeout is how long a health check waits for its first answer. After that the server
// counts as serving, because it has not reported that it does not serve.
const healthStallTimeout = time.Second

// followHealth watches a server's health, and passes each status to report. It returns false when
// ctx ends. If the server has no health service, followHealth reports the server as serving and
// returns true.
//
// Load balancers end streams after a time. So when a stream of the health service ends,
// followHealth opens another one, and the last status stays valid in between. If a stream ends
// before the server has sent a status, followHealth reports the server as not serving.
//
// The function report must ignore a call whose context has ended.
func followHealth(
	ctx context.Context, rpc grpc.ClientConnInterface,
	report func(ctx context.Context, serving bool),
) (without bool) {
	for attempt := 0; ; attempt++ {
		reported := false
		unanswered, answered := context.WithCancel(ctx)
		timer := time.AfterFunc(healthStallTimeout, func() { report(unanswered, true) })
		err := watchHealth(ctx, rpc, func(s healthpb.HealthCheckResponse_ServingStatus) {
			timer.Stop()
			answered()
			attempt, reported = 0, true
			report(ctx, s == healthpb.HealthCheckResponse_SERVING)
		})
		timer.Stop()
		answered()
		switch {
		case ctx.Err() != nil:
			return false
		case status.Code(err) == codes.Unimplemented:
			report(ctx, true)
			return true
		}
		if !reported {
			report(ctx, false)
		}
		if backoff.Wait(ctx, healthBackoff.Delay(attempt)) != nil {
			return false
		}
	}
}

// watchHealth opens a stream of a server's health service, and calls changed with each status that
// comes on it. It returns the error with which the stream has ended.
func watchHealth(
	ctx context.Context, rpc grpc.ClientConnInterface,
	changed func(healthpb.HealthCheckResponse_ServingStatus),
) error {
	ctx, cancel := context.WithCancel(origin.Client(ctx))
	defer cancel()
	stream, err := healthpb.NewHealthClient(rpc).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		changed(resp.Status)
	}
}
