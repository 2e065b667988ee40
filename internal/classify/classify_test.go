package classify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// verdict returns a string with one letter for each predicate of this package that is true for err.
// The list below has the letters.
func verdict(err error) string {
	out := ""
	for _, p := range []struct {
		letter string
		yes    bool
	}{
		{"u", IsUnavailable(err)}, {"n", IsNoLeader(err)}, {"l", IsLearnerRefusal(err)},
		{"t", IsTooManyRequests(err)}, {"m", IsMessageTooLarge(err)},
		{"a", IsAuthRefresh(err)}, {"c", IsConnClosing(err)}, {"r", CanRepeatRead(err)},
		{"w", CanRepeatWrite(err, true)}, {"W", CanRepeatWrite(err, false)},
		{"h", IsHalt(context.Background(), err)}, {"f", IsRefusal(err)},
	} {
		if p.yes {
			out += p.letter
		}
	}
	return out
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{io.EOF, ""},
		{errors.New("etcdserver: no leader, or so they say"), ""},
		{status.Error(codes.Unavailable, "connection refused"), "urW"},
		{rpctypes.ErrGRPCNoLeader, "unrW"},
		{rpctypes.ErrGRPCLeaderChanged, "urW"},
		{rpctypes.ErrGRPCStopped, "urW"},
		{rpctypes.ErrGRPCTimeout, "urW"},
		{rpctypes.ErrGRPCTimeoutWaitAppliedIndex, "urW"},
		{rpctypes.ErrGRPCUnhealthy, "urW"},
		{rpctypes.ErrGRPCNotSupportedForLearner, "lrwWf"},
		{rpctypes.ErrGRPCNotLeader, "f"},
		{rpctypes.ErrGRPCNotCapable, "f"},
		{rpctypes.ErrGRPCInvalidAuthToken, "af"},
		{rpctypes.ErrGRPCAuthOldRevision, "af"},
		{rpctypes.ErrGRPCUserEmpty, "af"},
		{rpctypes.ErrGRPCAuthFailed, "hf"},
		{rpctypes.ErrGRPCPermissionDenied, "hf"},
		{rpctypes.ErrGRPCCompacted, "hf"},
		{rpctypes.ErrGRPCRequestTooManyRequests, "tf"},
		{status.Error(codes.Unknown, "etcdserver: too many requests"), "tf"},
		{status.Error(codes.Unavailable, "etcdserver: too many requests"), "urW"},
		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max (2 vs. 1)"),
			"mh"},
		{rpctypes.ErrGRPCNoSpace, "h"},
		{rpctypes.ErrGRPCCorrupt, "h"},
		{rpctypes.ErrGRPCCanceled, ""},
		{rpctypes.ErrGRPCDeadlineExceeded, ""},
		//nolint:staticcheck // see IsConnClosing
		{grpc.ErrClientConnClosing, "ch"},
		{status.Error(codes.Internal, "boom"), ""},
		{status.Error(codes.Unknown, "boom"), ""},
		{status.Error(codes.Aborted, "boom"), ""},
		{status.Error(codes.Unimplemented, "boom"), "hf"},
		{status.Error(codes.NotFound, "boom"), "hf"},
		{status.Error(codes.Unauthenticated, "boom"), "hf"},
		{status.Error(codes.Internal, "etcdserver: no leader"), ""},
		{context.Canceled, ""},
		{context.DeadlineExceeded, ""},
	} {
		assert.Equal(t, tc.want, verdict(tc.err), "%v", tc.err)
		if tc.err == nil {
			continue
		}
		assert.Equal(t, tc.want, verdict(fmt.Errorf("wrapped: %w", tc.err)), "wrapped %v", tc.err)
		if converted := rpctypes.Error(tc.err); Code(converted) == Code(tc.err) {
			assert.Equal(t, tc.want, verdict(fmt.Errorf("wrapped: %w", converted)), "converted %v",
				tc.err)
		}
	}
}

func TestHaltByContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.True(t, IsHalt(ctx, status.Error(codes.Unavailable, "x")))
	assert.True(t, IsHalt(ctx, nil))
	//nolint:staticcheck // a nil context is never done
	assert.False(t, IsHalt(nil, status.Error(codes.Unavailable, "x")))
}

func TestCode(t *testing.T) {
	assert.Equal(t, codes.OK, Code(nil))
	assert.Equal(t, codes.Unknown, Code(io.EOF))
	assert.Equal(t, codes.Canceled, Code(fmt.Errorf("x: %w", context.Canceled)))
	assert.Equal(t, codes.DeadlineExceeded, Code(context.DeadlineExceeded))
	assert.Equal(t, codes.OutOfRange, Code(rpctypes.ErrCompacted))
	assert.True(t, IsUnimplemented(status.Error(codes.Unimplemented, "no")))
	assert.True(t, IsAuthNotEnabled(rpctypes.ErrAuthNotEnabled))
}
