package balancer

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	serving    = healthpb.HealthCheckResponse_SERVING
	notServing = healthpb.HealthCheckResponse_NOT_SERVING
)

// healthStream is the scripted stream of one health check. It carries the statuses in the field
// says. After that it fails with the error in the field ends. If this error is nil, the stream
// stays open until its context ends.
type healthStream struct {
	grpc.ClientStream
	ctx   context.Context
	says  []healthpb.HealthCheckResponse_ServingStatus
	ends  error
	never bool // the stream cannot be opened: that fails with the error ends
}

func (s *healthStream) SendMsg(any) error { return nil }
func (s *healthStream) CloseSend() error  { return nil }

func (s *healthStream) RecvMsg(m any) error {
	switch {
	case len(s.says) > 0:
		m.(*healthpb.HealthCheckResponse).Status = s.says[0]
		s.says = s.says[1:]
		return nil
	case s.ends != nil:
		return s.ends
	}
	<-s.ctx.Done()
	return status.FromContextError(s.ctx.Err()).Err()
}

// healthScript answers one health check after another; the last answer is repeated.
type healthScript struct {
	grpc.ClientConnInterface
	streams []healthStream
	checks  []time.Time
}

func (h *healthScript) NewStream(
	ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption,
) (grpc.ClientStream, error) {
	s := h.streams[min(len(h.checks), len(h.streams)-1)]
	h.checks = append(h.checks, time.Now())
	if method != healthpb.Health_Watch_FullMethodName {
		return nil, status.Errorf(codes.Internal, "asked for %s", method)
	}
	if s.never {
		return nil, s.ends
	}
	s.ctx = ctx
	return &s, nil
}

// reported returns what followHealth reports in an hour while the server answers as in the script.
func (h *healthScript) reported(t *testing.T) (states []bool) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		followHealth(ctx, h, func(_ context.Context, serving bool) {
			states = append(states, serving)
		})
	})
	return states
}

// TestHealthIsFollowed: followHealth reports each status that a server's health check carries. A
// load balancer may end a health check's stream at any time. So when a stream ends after a status,
// followHealth does not report the server as not serving, but opens the next stream first.
func TestHealthIsFollowed(t *testing.T) {
	const good, bad = true, false
	refused := func(c codes.Code) healthStream {
		return healthStream{ends: status.Error(c, "refused")}
	}
	steady := healthStream{says: []healthpb.HealthCheckResponse_ServingStatus{serving}}
	for name, c := range map[string]struct {
		streams []healthStream
		want    []bool
	}{
		"serves": {[]healthStream{steady},
			[]bool{good}},
		"without the service": {[]healthStream{refused(codes.Unimplemented)},
			[]bool{good}},
		"comes, goes, returns": {
			[]healthStream{{says: []healthpb.HealthCheckResponse_ServingStatus{notServing, serving,
				notServing, serving}}}, []bool{bad, good, bad, good}},
		"unknown": {
			[]healthStream{{says: []healthpb.HealthCheckResponse_ServingStatus{
				healthpb.HealthCheckResponse_SERVICE_UNKNOWN}}}, []bool{bad}},
		"refused as by learners, then promoted": {
			[]healthStream{refused(codes.Unavailable), refused(codes.Unavailable), steady},
			[]bool{bad, bad, good}},
		"forbidden": {
			[]healthStream{refused(codes.PermissionDenied), steady},
			[]bool{bad, good}},
		"does not begin": {
			[]healthStream{{never: true, ends: status.Error(codes.Unavailable, "not ready")},
				steady}, []bool{bad, good}},
		"the service ends": {
			[]healthStream{{says: steady.says, ends: io.EOF}, steady},
			[]bool{good, good}},
		"ends, and is refused then": {
			[]healthStream{{says: steady.says, ends: io.EOF}, refused(codes.Unavailable), steady},
			[]bool{good, bad, good}},
		"the service is removed": {
			[]healthStream{{says: steady.says, ends: io.EOF}, refused(codes.Unimplemented)},
			[]bool{good, good}},
		"never answers": {[]healthStream{{}}, []bool{good}},
		"refused, then never answers": {[]healthStream{refused(codes.Unavailable), {}},
			[]bool{bad, good}},
		"without it, begins late": {
			[]healthStream{{never: true, ends: status.Error(codes.Unimplemented, "none")}},
			[]bool{good}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, (&healthScript{streams: c.streams}).reported(t))
		})
	}
}

// TestRefusedHealthChecksAreSpaced: a server that refuses a health check gets the next one soon at
// first. After more refusals it gets one a minute.
func TestRefusedHealthChecksAreSpaced(t *testing.T) {
	h := &healthScript{streams: []healthStream{{ends: status.Error(codes.PermissionDenied, "no")}}}
	h.reported(t)
	if assert.Greater(t, len(h.checks), 10) {
		assert.LessOrEqual(t, h.checks[1].Sub(h.checks[0]), healthBackoff.Base)
		assert.Less(t, len(h.checks), 110, "in an hour")
	}
}

// TestHealthIsFollowedAnewSoon: if a server reports a status and then ends the stream, its health
// is checked again soon, however often the server does so.
func TestHealthIsFollowedAnewSoon(t *testing.T) {
	h := &healthScript{streams: []healthStream{
		{says: []healthpb.HealthCheckResponse_ServingStatus{serving}, ends: io.EOF}}}
	h.reported(t)
	for i := 1; i < 100; i++ {
		assert.LessOrEqual(t, h.checks[i].Sub(h.checks[i-1]), 2*healthBackoff.Base)
	}
}
