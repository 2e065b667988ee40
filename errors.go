package clientv3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/endpoint"
)

var (
	// ErrNoAvailableEndpoints is returned if there is no endpoint to connect to: by New for a
	// Config without endpoints, by Sync for a cluster that lists none, and by the calls of a client
	// without a connection (see NewCtxClient).
	ErrNoAvailableEndpoints error = noEndpoint{}

	// ErrOldCluster is returned by New with Config.RejectOldCluster if a member is older than 3.6.
	ErrOldCluster = errors.New("etcdclient: old cluster version")

	// ErrMutuallyExclusiveCfg is returned by New for a Config that has both a Token and a Username
	// or Password.
	ErrMutuallyExclusiveCfg = errors.New("Username/Password and Token configurations are mutually exclusive")
)

// noEndpoint is the type of ErrNoAvailableEndpoints.
type noEndpoint struct{}

func (noEndpoint) Error() string { return classify.NoEndpoints }

// GRPCStatus returns a status that ends a stream for good, because a stream that is opened again
// would fail again.
func (e noEndpoint) GRPCStatus() *status.Status {
	return status.New(codes.FailedPrecondition, e.Error())
}

// errClosing is the error of calls after Close: a gRPC status with codes.Canceled, for which
// IsConnCanceled is true.
//
//nolint:staticcheck // the only name under which gRPC exports its closing error
var errClosing = grpc.ErrClientConnClosing

// ContextError turns an error of a gRPC call made with ctx into the one that this package
// documents:
//
//   - an error of etcd's servers becomes the rpctypes.EtcdError that compares equal to the variable
//     of package rpctypes;
//   - if ctx has ended and the error is due to that, the result is ctx's error, context.Canceled or
//     context.DeadlineExceeded, which compares with == (Client.ConnectionError says why there was
//     no connection);
//   - any other error, and nil, is returned as it is.
func ContextError(ctx context.Context, err error) error { return toErr(ctx, err) }

// toErr converts every error that a user gets; see ContextError.
func toErr(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if known, ok := rpctypes.Error(err).(rpctypes.EtcdError); ok {
		return known
	}
	if errors.Is(err, rpctypes.ErrTimeoutWaitAppliedIndex) {
		// rpctypes.Error does not know its text
		return rpctypes.ErrTimeoutWaitAppliedIndex
	}
	switch classify.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return cmp.Or(ctxErr(ctx), err)
	}
	return err
}

// unary makes one call of a stub and converts its error. The result has the protocol's type.
// Methods convert it to the type of this package; that works for nil too.
func unary[Req, Resp any](
	ctx context.Context,
	call func(context.Context, *Req, ...grpc.CallOption) (*Resp, error),
	req *Req,
) (*Resp, error) {
	resp, err := call(ctx, req)
	if err != nil {
		return nil, toErr(ctx, err)
	}
	return resp, nil
}

// ctxErr returns the error of ctx, or nil. A deadline that has passed counts although ctx has not
// ended: the server knows the deadline and may notice it first.
func ctxErr(ctx context.Context) error {
	if ctx == nil {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// IsConnCanceled reports whether a call failed because its connection or the client was closed, or
// because its context was cancelled.
func IsConnCanceled(err error) bool {
	if err == nil {
		return false
	}
	return errors.Is(err, context.Canceled) || classify.Code(err) == codes.Canceled
}

// ConnectionError returns why no member can be reached: how the last attempt to connect to each
// endpoint has failed (connection refused, a bad certificate, no such host, and so on). It is nil
// while any endpoint is connected, and before the first attempt has failed. After Close it does not
// change. For a client without a connection (see NewCtxClient) it is ErrNoAvailableEndpoints.
//
// It explains a call that ended with context.DeadlineExceeded. It sends nothing, does not block,
// and may be called from any goroutine. The error wraps those of the endpoints, for errors.As. Its
// text has no passwords.
func (c *Client) ConnectionError() error {
	if !c.made() || c.failures == nil {
		return ErrNoAvailableEndpoints
	}
	last := c.failures.Last()
	if len(last) == 0 {
		return nil
	}
	u := &unreachable{}
	for _, address := range slices.Sorted(maps.Keys(last)) {
		u.failures = append(u.failures, fmt.Errorf("%s: %w", endpoint.Redact(address),
			last[address]))
	}
	return u
}

// unreachable holds the last failure of each endpoint.
type unreachable struct{ failures []error }

func (u *unreachable) Error() string {
	texts := make([]string, len(u.failures))
	for i, err := range u.failures {
		texts[i] = err.Error()
	}
	return "etcdclient: no member can be reached: " +
		userInfo.ReplaceAllString(strings.Join(texts, "; "), "://***@")
}

// Unwrap returns the failures.
func (u *unreachable) Unwrap() []error { return u.failures }

// userInfo matches the user and password of a URL, which a dialer's error may print.
var userInfo = regexp.MustCompile(`://[^/@\s"]*@`)

// logUnreachable warns that no member can be reached. gRPC calls it, once a minute at most, so it
// takes no lock that is held while gRPC is called.
func (c *Client) logUnreachable() {
	if err := c.ConnectionError(); err != nil {
		c.GetLogger().Warn("no member can be reached", zap.Error(err))
	}
}
