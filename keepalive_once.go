package clientv3

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

const (
	// oncePatience is how long an answer may take before the members are put to the test.
	oncePatience = 500 * time.Millisecond
	// onceLinger is how long a server gets to end a stream that was half-closed.
	onceLinger = 500 * time.Millisecond
	// onceTokens is how many tokens one KeepAliveOnce may have refused.
	onceTokens = 3
	// onceDoubts is how often the members may not know a lease that lives.
	onceDoubts = 5
)

// onceBackoff spaces the attempts of one KeepAliveOnce.
var onceBackoff = backoff.Policy{Base: 50 * time.Millisecond, Max: maxBackoffWait, Jitter: 0.5}

// errNoAnswer stands for a stream that a server ended well, but too early.
var errNoAnswer = status.Error(codes.Unavailable,
	"etcdclient: the keepalive stream ended without an answer")

func (l *lessor) KeepAliveOnce(ctx context.Context, id LeaseID) (*LeaseKeepAliveResponse, error) {
	streams, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()

	var place balancer.StreamTarget
	tokens, doubts := 0, 0
	for attempt := 0; ; attempt++ {
		seen := l.generation()
		resp, err := l.renewOnce(place.With(streams), id)
		if err == nil && (resp.GetTTL() > 0 || doubts >= onceDoubts ||
			l.isGone(streams, &place, id)) {
			return l.renewed(id, resp)
		}
		if err == nil { // the lease lives, and the member does not know it yet
			doubts++
			place.AvoidLast()
			if waitErr := backoff.Wait(streams, onceBackoff.Delay(attempt)); waitErr != nil {
				return nil, l.endErr(ctx, waitErr)
			}
			continue
		}
		if classify.IsAuthRefresh(err) {
			if tokens++; tokens > onceTokens || l.renewToken(streams, seen) != nil {
				return nil, l.endErr(ctx, err)
			}
		}
		if classify.IsHalt(streams, err) || uint(attempt)+1 >= l.maxAttempts {
			return nil, l.endErr(ctx, err)
		}
		if waitErr := backoff.Wait(streams, onceBackoff.Delay(attempt)); waitErr != nil {
			return nil, l.endErr(ctx, waitErr)
		}
	}
}

// renewed is the result of a KeepAliveOnce that was answered.
func (l *lessor) renewed(
	id LeaseID, resp *pb.LeaseKeepAliveResponse,
) (*LeaseKeepAliveResponse, error) {
	if resp.GetTTL() <= 0 {
		l.lost(id, rpctypes.ErrLeaseNotFound)
		return nil, rpctypes.ErrLeaseNotFound
	}
	return keepAliveResponse(resp), nil
}

// endErr is the error of a call that may have ended with the lessor.
func (l *lessor) endErr(ctx context.Context, err error) error {
	if ctx.Err() == nil && l.ctx.Err() != nil {
		return errClosing
	}
	return toErr(ctx, err)
}

// renewOnce renews a lease on a stream of its own. Streams do not count as requests that
// a member owes answers to, so nothing else may notice that it has fallen silent.
func (l *lessor) renewOnce(ctx context.Context, id LeaseID) (*pb.LeaseKeepAliveResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.remote.LeaseKeepAlive(ctx)
	if err != nil {
		return nil, err
	}
	// Where sending fails, receiving tells why.
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil &&
		!errors.Is(err, io.EOF) {
		return nil, err
	}
	silent := time.AfterFunc(oncePatience, l.members.ProbeAll)
	resp, err := stream.Recv()
	silent.Stop()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errNoAnswer
	case err != nil:
		return nil, err
	}
	finish(stream, cancel)
	return resp, nil
}

// finish lets the server end the stream, as servers count streams that are
// cancelled as failures. One that does not end it in time is cancelled all the
// same.
func finish(stream pb.Lease_LeaseKeepAliveClient, cancel context.CancelFunc) {
	if stream.CloseSend() != nil {
		return
	}
	defer time.AfterFunc(onceLinger, cancel).Stop()
	for {
		if _, err := stream.Recv(); err != nil {
			return
		}
	}
}
