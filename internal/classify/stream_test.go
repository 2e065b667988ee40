package classify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestNoStatusOfAServerIsFinal: no status code, and no error of etcd, with which the other side
// ends a stream keeps the client from opening the stream again.
func TestNoStatusOfAServerIsFinal(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		assert.False(t, IsFinal(context.Background(), status.Error(code, "x"), true), code)
		assert.False(t, IsFinal(context.Background(), status.Error(code, "x"), false), code)
	}
	for _, err := range []error{
		io.EOF, errors.New("x"), context.Canceled, rpctypes.ErrGRPCAuthFailed,
		rpctypes.ErrGRPCPermissionDenied,
		rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCNotCapable, rpctypes.ErrGRPCCorrupt,
		rpctypes.ErrGRPCNoSpace,
		rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCNotSupportedForLearner,
		rpctypes.ErrGRPCLeaseNotFound,
	} {
		assert.False(t, IsFinal(context.Background(), err, true), err)
	}
}

func TestFinalStreams(t *testing.T) {
	//nolint:staticcheck // see IsConnClosing
	closing := grpc.ErrClientConnClosing
	assert.True(t, IsFinal(context.Background(), closing, false))
	assert.False(t, IsFinal(context.Background(), closing, true),
		"a proxy's connection may be meant")
	assert.True(t, IsFinal(context.Background(), fmt.Errorf("wrapped: %w", errNoEndpoints), false))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.True(t, IsFinal(ctx, io.EOF, true))
}

func TestOptionRefusals(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{status.Error(codes.FailedPrecondition, "unsupported options in watch request"), true},
		{status.Error(codes.InvalidArgument, "unsupported"), true},
		{status.Error(codes.Unimplemented, "x"), false},
		{status.Error(codes.PermissionDenied, "x"), false},
		{rpctypes.ErrGRPCNotCapable, false},
		{rpctypes.ErrGRPCNotSupportedForLearner, false},
		{rpctypes.ErrGRPCAuthFailed, false},
		{rpctypes.ErrGRPCAuthOldRevision, false},
		{errNoEndpoints, false},
	} {
		assert.Equal(t, tc.want, IsOptionRefusal(tc.err), "%v", tc.err)
	}
}

func TestOverLimit(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{status.Error(codes.ResourceExhausted,
			"grpc: received message larger than max (6291456 vs. 4194304)"), true},
		{status.Error(codes.ResourceExhausted,
			"grpc: received message after decompression larger than max 4194304"), true},
		{status.Error(codes.ResourceExhausted,
			"grpc: received message larger than max (1 vs. 4194304) or so"), false},
		{status.Error(codes.ResourceExhausted,
			"grpc: trying to send message larger than max (2 vs. 1)"), false},
		{status.Error(codes.Unknown, "grpc: received message larger than max (2 vs. 1)"), false},
		{rpctypes.ErrGRPCRequestTooManyRequests, false},
		{rpctypes.ErrGRPCNoSpace, false},
	} {
		assert.Equal(t, tc.want, IsOverLimit(tc.err), "%v", tc.err)
	}
}
