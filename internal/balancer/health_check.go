package balancer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/origin"
)

// healthBackoff is the wait between two health checks of a member that refuses them.
var healthBackoff = backoff.Policy{Base: 200 * time.Millisecond, Max: time.Minute, Jitter: 0.3}

// healthStallTimeout is how long a health check may take to get its first answer. After that
// the server counts as serving, because it has not reported that it does not serve.
const healthStallTimeout = time.Second

// checks follows the health service on every connection of a policy. gRPC could do so itself,
// but logs an error for each server without the service.
type checks struct {
	ctx     context.Context // ends with the policy
	cancel  context.CancelFunc
	running sync.WaitGroup

	// Set before any child exists; may be nil.
	tracker  *Tracker
	failures *Failures
}

func newChecks() *checks {
	c := &checks{}
	//nolint:forbidigo // gRPC builds a policy without a context; Close cancels this one
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *checks) close() {
	c.cancel()
	c.running.Wait()
}

// start follows the health of a connection until ctx ends. It calls without with whether the
// server is known to have no health service.
func (c *checks) start(
	ctx context.Context, conn balancer.SubConn, without func(bool),
	report func(balancer.SubConnState),
) {
	producer, release := conn.GetOrBuildProducer(rpcs{})
	// Ends with ctx, which close and the loss of the connection end; close waits for it.
	c.running.Go(func() {
		defer release()
		without(false)
		without(followHealth(ctx, producer.(grpc.ClientConnInterface), report))
	})
}

// followHealth reports each change of health until ctx ends. It returns true if the server has
// no health service, which counts as healthy. Load balancers end streams after a time: if a
// stream ends after it has reported health, the last report holds until the next stream.
func followHealth(
	ctx context.Context, conn grpc.ClientConnInterface, report func(balancer.SubConnState),
) (without bool) {
	for attempt := 0; ; attempt++ {
		unanswered := startStallTimer(report)
		reported := false
		err := watchHealth(ctx, conn, func(s healthpb.HealthCheckResponse_ServingStatus) {
			unanswered.end()
			attempt, reported = 0, true
			if s == healthpb.HealthCheckResponse_SERVING {
				report(balancer.SubConnState{ConnectivityState: connectivity.Ready})
				return
			}
			report(unhealthyState(fmt.Errorf("the server's health is %v", s)))
		})
		unanswered.end()
		switch {
		case ctx.Err() != nil:
			return false
		case status.Code(err) == codes.Unimplemented:
			report(balancer.SubConnState{ConnectivityState: connectivity.Ready})
			return true
		}
		if !reported {
			report(unhealthyState(fmt.Errorf("health check: %w", err)))
		}
		if backoff.Wait(ctx, healthBackoff.Delay(attempt)) != nil {
			return false
		}
	}
}

func unhealthyState(err error) balancer.SubConnState {
	return balancer.SubConnState{ConnectivityState: connectivity.TransientFailure,
		ConnectionError: err}
}

// stallTimer reports a server that has not answered its health check as serving.
type stallTimer struct {
	timer *time.Timer

	mu   sync.Mutex // held while reporting, so that a later report replaces this one
	over bool       // guarded by mu
}

func startStallTimer(report func(balancer.SubConnState)) *stallTimer {
	p := &stallTimer{}
	p.timer = time.AfterFunc(healthStallTimeout, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.over {
			report(balancer.SubConnState{ConnectivityState: connectivity.Ready})
		}
	})
	return p
}

// end stops the timer. When it returns, the timer reports nothing any more.
func (p *stallTimer) end() {
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}

// watchHealth returns why a stream of health changes has ended.
func watchHealth(
	ctx context.Context, conn grpc.ClientConnInterface,
	changed func(healthpb.HealthCheckResponse_ServingStatus),
) error {
	ctx, cancel := context.WithCancel(origin.Client(ctx))
	defer cancel()
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
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

// rpcs builds a producer that sends RPCs on one connection.
type rpcs struct{}

func (rpcs) Build(conn any) (balancer.Producer, func()) { return conn, func() {} }
