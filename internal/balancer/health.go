package balancer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/origin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// healthBackoff spaces the checks of a member that refuses them.
var healthBackoff = backoff.Policy{Base: 200 * time.Millisecond, Max: time.Minute, Jitter: 0.3}

// healthStallTimeout is how long a stream of health changes may go without its first
// answer before its server counts as serving: it has not said that it does not.
const healthStallTimeout = time.Second

// checks follows the health service of every connection of a policy. gRPC could
// do so itself, but logs an error for each server that has no such service.
type checks struct {
	ctx     context.Context // ends with the policy
	cancel  context.CancelFunc
	running sync.WaitGroup

	// Set before any child exists; may be nil.
	table    *Table
	failures *Failures
}

func newChecks() *checks {
	c := &checks{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *checks) close() {
	c.cancel()
	c.running.Wait()
}

// start follows the health of a connection until ctx ends. without is told whether the
// server is known to have no health service.
func (c *checks) start(ctx context.Context, conn balancer.SubConn, without func(bool), report func(balancer.SubConnState)) {
	producer, release := conn.GetOrBuildProducer(rpcs{})
	// Ends with ctx, which close and the loss of the connection end; close waits for it.
	c.running.Go(func() {
		defer release()
		without(false)
		without(follow(ctx, producer.(grpc.ClientConnInterface), report))
	})
}

// follow reports each change of health. A server without the service is healthy,
// and one whose stream ends after it has told its health, as load balancers end
// streams after a time, is what it said until it is asked again. It returns when
// ctx ends, and with true when the server turns out to be without the service.
func follow(ctx context.Context, conn grpc.ClientConnInterface, report func(balancer.SubConnState)) (without bool) {
	for attempt := 0; ; attempt++ {
		unanswered := startStallTimer(report)
		told := false
		err := watchHealth(ctx, conn, func(s healthpb.HealthCheckResponse_ServingStatus) {
			unanswered.end()
			attempt, told = 0, true
			if s == healthpb.HealthCheckResponse_SERVING {
				report(balancer.SubConnState{ConnectivityState: connectivity.Ready})
				return
			}
			report(balancer.SubConnState{ConnectivityState: connectivity.TransientFailure, ConnectionError: fmt.Errorf("the server's health is %v", s)})
		})
		unanswered.end()
		switch {
		case ctx.Err() != nil:
			return false
		case status.Code(err) == codes.Unimplemented:
			report(balancer.SubConnState{ConnectivityState: connectivity.Ready})
			return true
		}
		if !told {
			report(balancer.SubConnState{ConnectivityState: connectivity.TransientFailure, ConnectionError: fmt.Errorf("health check: %w", err)})
		}
		if backoff.Wait(ctx, healthBackoff.Delay(attempt)) != nil {
			return false
		}
	}
}

// stallTimer reports a server that has not answered its health check as serving.
type stallTimer struct {
	timer *time.Timer

	mu   sync.Mutex // held while that is reported, so that what is said later replaces it
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

// end returns when nothing is being reported, and nothing will be.
func (p *stallTimer) end() {
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}

// watchHealth returns why a stream of health changes has ended.
func watchHealth(ctx context.Context, conn grpc.ClientConnInterface, changed func(healthpb.HealthCheckResponse_ServingStatus)) error {
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

// rpcs builds the producer that lets RPCs be sent on one connection.
type rpcs struct{}

func (rpcs) Build(conn any) (balancer.Producer, func()) { return conn, func() {} }
