package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// wellKnown pairs the errors that servers send with those that programs compare with.
var wellKnown = []struct{ wire, user error }{
	{rpctypes.ErrGRPCEmptyKey, rpctypes.ErrEmptyKey},
	{rpctypes.ErrGRPCKeyNotFound, rpctypes.ErrKeyNotFound},
	{rpctypes.ErrGRPCValueProvided, rpctypes.ErrValueProvided},
	{rpctypes.ErrGRPCLeaseProvided, rpctypes.ErrLeaseProvided},
	{rpctypes.ErrGRPCTooManyOps, rpctypes.ErrTooManyOps},
	{rpctypes.ErrGRPCDuplicateKey, rpctypes.ErrDuplicateKey},
	{rpctypes.ErrGRPCInvalidSortOption, rpctypes.ErrInvalidSortOption},
	{rpctypes.ErrGRPCCompacted, rpctypes.ErrCompacted},
	{rpctypes.ErrGRPCFutureRev, rpctypes.ErrFutureRev},
	{rpctypes.ErrGRPCNoSpace, rpctypes.ErrNoSpace},
	{rpctypes.ErrGRPCLeaseNotFound, rpctypes.ErrLeaseNotFound},
	{rpctypes.ErrGRPCLeaseExist, rpctypes.ErrLeaseExist},
	{rpctypes.ErrGRPCLeaseTTLTooLarge, rpctypes.ErrLeaseTTLTooLarge},
	{rpctypes.ErrGRPCMemberExist, rpctypes.ErrMemberExist},
	{rpctypes.ErrGRPCPeerURLExist, rpctypes.ErrPeerURLExist},
	{rpctypes.ErrGRPCMemberNotEnoughStarted, rpctypes.ErrMemberNotEnoughStarted},
	{rpctypes.ErrGRPCMemberBadURLs, rpctypes.ErrMemberBadURLs},
	{rpctypes.ErrGRPCMemberNotFound, rpctypes.ErrMemberNotFound},
	{rpctypes.ErrGRPCMemberNotLearner, rpctypes.ErrMemberNotLearner},
	{rpctypes.ErrGRPCLearnerNotReady, rpctypes.ErrMemberLearnerNotReady},
	{rpctypes.ErrGRPCTooManyLearners, rpctypes.ErrTooManyLearners},
	{rpctypes.ErrGRPCClusterIDMismatch, rpctypes.ErrClusterIDMismatch},
	{rpctypes.ErrGRPCRequestTooLarge, rpctypes.ErrRequestTooLarge},
	{rpctypes.ErrGRPCRequestTooManyRequests, rpctypes.ErrTooManyRequests},
	{rpctypes.ErrGRPCRootUserNotExist, rpctypes.ErrRootUserNotExist},
	{rpctypes.ErrGRPCRootRoleNotExist, rpctypes.ErrRootRoleNotExist},
	{rpctypes.ErrGRPCUserAlreadyExist, rpctypes.ErrUserAlreadyExist},
	{rpctypes.ErrGRPCUserEmpty, rpctypes.ErrUserEmpty},
	{rpctypes.ErrGRPCUserNotFound, rpctypes.ErrUserNotFound},
	{rpctypes.ErrGRPCRoleAlreadyExist, rpctypes.ErrRoleAlreadyExist},
	{rpctypes.ErrGRPCRoleNotFound, rpctypes.ErrRoleNotFound},
	{rpctypes.ErrGRPCRoleEmpty, rpctypes.ErrRoleEmpty},
	{rpctypes.ErrGRPCAuthFailed, rpctypes.ErrAuthFailed},
	{rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrPermissionDenied},
	{rpctypes.ErrGRPCRoleNotGranted, rpctypes.ErrRoleNotGranted},
	{rpctypes.ErrGRPCPermissionNotGranted, rpctypes.ErrPermissionNotGranted},
	{rpctypes.ErrGRPCAuthNotEnabled, rpctypes.ErrAuthNotEnabled},
	{rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrInvalidAuthToken},
	{rpctypes.ErrGRPCInvalidAuthMgmt, rpctypes.ErrInvalidAuthMgmt},
	{rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrAuthOldRevision},
	{rpctypes.ErrGRPCNoLeader, rpctypes.ErrNoLeader},
	{rpctypes.ErrGRPCNotLeader, rpctypes.ErrNotLeader},
	{rpctypes.ErrGRPCLeaderChanged, rpctypes.ErrLeaderChanged},
	{rpctypes.ErrGRPCNotCapable, rpctypes.ErrNotCapable},
	{rpctypes.ErrGRPCStopped, rpctypes.ErrStopped},
	{rpctypes.ErrGRPCTimeout, rpctypes.ErrTimeout},
	{rpctypes.ErrGRPCTimeoutDueToLeaderFail, rpctypes.ErrTimeoutDueToLeaderFail},
	{rpctypes.ErrGRPCTimeoutDueToConnectionLost, rpctypes.ErrTimeoutDueToConnectionLost},
	{rpctypes.ErrGRPCUnhealthy, rpctypes.ErrUnhealthy},
	{rpctypes.ErrGRPCCorrupt, rpctypes.ErrCorrupt},
	{rpctypes.ErrGRPCBadLeaderTransferee, rpctypes.ErrBadLeaderTransferee},
	{rpctypes.ErrGRPCClusterVersionUnavailable, rpctypes.ErrClusterVersionUnavailable},
	{rpctypes.ErrGRPCWrongDowngradeVersionFormat, rpctypes.ErrWrongDowngradeVersionFormat},
	{rpctypes.ErrGRPCInvalidDowngradeTargetVersion, rpctypes.ErrInvalidDowngradeTargetVersion},
	{rpctypes.ErrGRPCDowngradeInProcess, rpctypes.ErrDowngradeInProcess},
	{rpctypes.ErrGRPCNoInflightDowngrade, rpctypes.ErrNoInflightDowngrade},
}

func TestEveryServerErrorComparesWithEqual(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, e := range wellKnown {
		for _, ctx := range []context.Context{t.Context(), done} {
			got := clientv3.ContextError(ctx, e.wire)
			assert.True(t, got == e.user, "%v", e.wire)
			assert.ErrorIs(t, fmt.Errorf("wrapped: %w", got), e.user)
			var etcd rpctypes.EtcdError
			require.ErrorAs(t, got, &etcd)
			assert.Equal(t, status.Code(e.wire), etcd.Code())
		}
	}
}

// unnoticed is a context whose deadline has passed but whose timer has not run yet.
type unnoticed struct{ context.Context }

func (unnoticed) Deadline() (time.Time, bool) { return time.Now(), true }

func TestContextErrorOnlyOfADoneContext(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, end := context.WithTimeout(t.Context(), 0)
	defer end()
	serverCancel := status.Error(codes.Canceled, "by the server")
	serverDeadline := status.Error(codes.DeadlineExceeded, "by the server")
	other := status.Error(codes.Internal, "boom")
	for _, tc := range []struct {
		ctx       context.Context
		err, want error
	}{
		{t.Context(), nil, nil},
		{cancelled, nil, nil},
		{t.Context(), serverCancel, serverCancel},
		{t.Context(), serverDeadline, serverDeadline},
		{cancelled, serverCancel, context.Canceled},
		{cancelled, serverDeadline, context.Canceled},
		{expired, serverDeadline, context.DeadlineExceeded},
		{expired, context.DeadlineExceeded, context.DeadlineExceeded},
		{unnoticed{t.Context()}, serverDeadline, context.DeadlineExceeded},
		{unnoticed{t.Context()}, other, other},
		{cancelled, other, other},
		{t.Context(), io.EOF, io.EOF},
		{nil, serverCancel, serverCancel},
	} {
		assert.Equal(t, tc.want, clientv3.ContextError(tc.ctx, tc.err))
	}
}

func TestIsConnCanceled(t *testing.T) {
	//nolint:staticcheck // calls return it after Close
	closing := grpc.ErrClientConnClosing
	for err, want := range map[error]bool{
		nil:                                  false,
		closing:                              true,
		context.Canceled:                     true,
		fmt.Errorf("x: %w", closing):         true,
		context.DeadlineExceeded:             false,
		status.Error(codes.Unavailable, "x"): false,
		errors.New("x"):                      false,
	} {
		assert.Equal(t, want, clientv3.IsConnCanceled(err), "%v", err)
	}
}
