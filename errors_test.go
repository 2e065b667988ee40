package clientv3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// wellKnown pairs what servers send with what users compare with.
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
			got := ContextError(ctx, e.wire)
			assert.True(t, got == e.user, "%v", e.wire)
			assert.ErrorIs(t, fmt.Errorf("wrapped: %w", got), e.user)
			var etcd rpctypes.EtcdError
			require.ErrorAs(t, got, &etcd)
			assert.Equal(t, status.Code(e.wire), etcd.Code())
		}
	}
}

// TestErrorVariablesCompareWithEqual: package rpctypes has variables that its own table of errors
// leaves out, so they are no EtcdError. They compare with == like the others.
func TestErrorVariablesCompareWithEqual(t *testing.T) {
	s, c := newFakeClient(t, Config{MaxUnaryRetries: 1})
	s.Fail("Range", 1, rpctypes.ErrGRPCTimeoutWaitAppliedIndex)
	_, err := c.Get(t.Context(), "k")
	assert.True(t, err == rpctypes.ErrTimeoutWaitAppliedIndex, "%v", err)
	assert.ErrorIs(t, fmt.Errorf("wrapped: %w", err), rpctypes.ErrTimeoutWaitAppliedIndex)
	assert.Equal(t, codes.Unavailable, status.Code(err))

	s.Fail("Range", 1, status.Error(codes.Unavailable, "another"))
	_, err = c.Get(t.Context(), "k")
	assert.NotErrorIs(t, err, rpctypes.ErrTimeoutWaitAppliedIndex)
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
		assert.Equal(t, tc.want, ContextError(tc.ctx, tc.err))
	}
}

func TestServersCancelIsNotTheCallers(t *testing.T) {
	s, c := newFakeClient(t, Config{})
	for _, code := range []codes.Code{codes.Canceled, codes.DeadlineExceeded} {
		s.Fail("Put", 1, status.Error(code, "by the server"))
		_, err := c.Put(t.Context(), "k", "v")
		assert.Equal(t, code, status.Code(err))
		assert.NotErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
	}
}

func TestIsConnCanceled(t *testing.T) {
	for err, want := range map[error]bool{
		nil:                                  false,
		errClosing:                           true,
		context.Canceled:                     true,
		fmt.Errorf("x: %w", errClosing):      true,
		context.DeadlineExceeded:             false,
		status.Error(codes.Unavailable, "x"): false,
		errors.New("x"):                      false,
	} {
		assert.Equal(t, want, IsConnCanceled(err), "%v", err)
	}
}

// TestConnectionErrorSaysWhy: a deadline that passes while connecting returns the context's error
// itself. ConnectionError has the cause, and the log has it once. A server name in the TLS
// configuration is checked: gRPC takes the name that comes with each address before it, so the
// credentials put it back.
func TestConnectionErrorSaysWhy(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithTLS())
	wrongName := cluster.TLSConfig().Clone()
	wrongName.ServerName = "other.example"
	for _, tc := range []struct {
		name, endpoint string
		tls            *tls.Config
		want           string
		as             any
	}{
		{"refused", "127.0.0.1:1", nil, "connection refused", nil},
		{"bad authority", cluster.Endpoints()[0], &tls.Config{RootCAs: x509.NewCertPool()},
			"unknown authority", &x509.UnknownAuthorityError{}},
		{"wrong name", cluster.Endpoints()[0], wrongName, "other.example", &x509.HostnameError{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, even := range []bool{false, true} {
				lg, logs := observed(zapcore.WarnLevel)
				c := newTestClient(t, Config{Endpoints: []string{tc.endpoint}, TLS: tc.tls,
					SpreadEvenly: even, Logger: lg})
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := c.Get(ctx, "k")
				assert.True(t, err == context.DeadlineExceeded, "%v", err)
				_, err = c.Put(ctx, "k", "v")
				assert.True(t, err == context.DeadlineExceeded, "%v", err)

				cause := c.ConnectionError()
				require.ErrorContains(t, cause, tc.want)
				if tc.as != nil {
					assert.True(t, errors.As(cause, tc.as), "%v", cause)
				}
				require.Equal(t, 1, logs.Len(), "one warning: %v", logs.All())
				assert.Contains(t, logs.All()[0].ContextMap()["error"], tc.want)

				require.NoError(t, c.Close())
				assert.Equal(t, cause.Error(), c.ConnectionError().Error(), "after Close")
			}
		})
	}
}

// TestConnectionErrorWhileOneIsConnected shows that it is nil as long as any endpoint
// is connected, and speaks of all endpoints when none is.
func TestConnectionErrorWhileOneIsConnected(t *testing.T) {
	lg, logs := observed(zapcore.WarnLevel)
	s := etcdfake.Start(t)
	c := newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1", s.Addr()}, Logger: lg})
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	require.NoError(t, c.ConnectionError())
	assert.Zero(t, logs.Len())

	s.Stop()
	eventually(t, func() bool {
		err := c.ConnectionError()
		return err != nil && strings.Contains(err.Error(), "127.0.0.1:1: ") &&
			strings.Contains(err.Error(), s.Addr()+": ")
	}, "both endpoints have failed")
	s.Restart()
	_, err = c.Get(t.Context(), "k")
	require.NoError(t, err)
	require.NoError(t, c.ConnectionError())
	c.SetEndpoints(s.Addr())
	require.NoError(t, c.Close())
	assert.NoError(t, c.ConnectionError(), "after Close")
}

// TestConnectionErrorForgetsEndpointsTakenAway shows that SetEndpoints takes the
// failures of former endpoints with them.
func TestConnectionErrorForgetsEndpointsTakenAway(t *testing.T) {
	c := newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1"}})
	eventually(t, func() bool { return c.ConnectionError() != nil }, "the endpoint fails")
	c.SetEndpoints("127.0.0.1:2")
	eventually(t, func() bool {
		err := c.ConnectionError()
		return err != nil && strings.Contains(err.Error(), "127.0.0.1:2: ") &&
			!strings.Contains(err.Error(), "127.0.0.1:1: ")
	}, "the new endpoint alone is spoken of")
}

func TestConnectionErrorWithoutAConnection(t *testing.T) {
	c := NewCtxClient(t.Context())
	assert.Equal(t, ErrNoAvailableEndpoints, c.ConnectionError())
	require.NoError(t, c.Close())
	assert.Equal(t, ErrNoAvailableEndpoints, c.ConnectionError())
}

// TestConnectionErrorHasNoPassword shows that a dialer's error that prints a URL does
// not carry its password into texts and logs.
func TestConnectionErrorHasNoPassword(t *testing.T) {
	lg, logs := observed(zapcore.DebugLevel)
	c := newTestClient(t, Config{Endpoints: []string{"a:1"}, Logger: lg,
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
				return nil, errors.New(`proxy "http://root:secret@proxy:1" is gone`)
			}),
		}})
	eventually(t, func() bool {
		return c.ConnectionError() != nil && logs.Len() > 0
	}, "the dialer fails")
	assert.ErrorContains(t, c.ConnectionError(), "http://***@proxy:1")
	assert.NotContains(t, c.ConnectionError().Error(), "secret")
	for _, entry := range logs.All() {
		assert.NotContains(t, entry.ContextMap()["error"], "secret")
	}
}
