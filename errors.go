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
	// ErrNoAvailableEndpoints is returned if there is no endpoint to connect to:
	//
	//   - by New for a Config without endpoints;
	//   - by Sync if no member of the cluster advertises a client URL;
	//   - by all calls of a client without a connection (see NewCtxClient).
	ErrNoAvailableEndpoints error = noEndpoint{}

	// ErrOldCluster is returned by New with Config.RejectOldCluster if a member is older than 3.6.
	ErrOldCluster = errors.New("etcdclient: old cluster version")

	// ErrMutuallyExclusiveCfg is returned by New for a Config that has both a Token and a Username
	// or Password.
	ErrMutuallyExclusiveCfg = errors.New(
		"Username/Password and Token configurations are mutually exclusive")
)

// noEndpoint is the type of ErrNoAvailableEndpoints.
type noEndpoint struct{}

func (noEndpoint) Error() string { return classify.NoEndpoints }

// GRPCStatus returns a status with codes.FailedPrecondition. If opening a stream fails with this
// code, the watch or keepalive ends. With most other codes, the client would try again and again.
func (e noEndpoint) GRPCStatus() *status.Status {
	return status.New(codes.FailedPrecondition, e.Error())
}

// errClosing is the error of calls after Close: a gRPC status with codes.Canceled, for which
// IsConnCanceled is true.
//
//nolint:staticcheck // the only name under which gRPC exports its closing error
var errClosing = grpc.ErrClientConnClosing

// ContextError converts err, an error of a gRPC call made with ctx, to the error that this package
// documents:
//
//   - An error of etcd's servers becomes an rpctypes.EtcdError that is equal (==) to a variable of
//     package rpctypes, such as rpctypes.ErrCompacted.
//   - If err is a cancellation or a timeout and ctx has ended, the result is ctx's error,
//     unwrapped: context.Canceled or context.DeadlineExceeded. Client.ConnectionError may then say
//     why there was no connection.
//   - Any other error, and nil, is returned as it is.
func ContextError(ctx context.Context, err error) error { return toErr(ctx, err) }

// toErr does what ContextError documents. Every error of a gRPC call passes through toErr before
// the program gets it.
func toErr(ctx context.Context, err error) error {
	if known, ok := rpctypes.Error(err).(rpctypes.EtcdError); ok {
		return known
	}
	if errors.Is(err, rpctypes.ErrTimeoutWaitAppliedIndex) {
		// rpctypes.Error does not convert ErrTimeoutWaitAppliedIndex
		return rpctypes.ErrTimeoutWaitAppliedIndex
	}
	switch classify.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return cmp.Or(ctxErr(ctx), err)
	}
	return err
}

// unary makes one call of a stub. It returns the response, which is a protobuf message, or the
// error converted by toErr. Callers convert the pointer, which may be nil, to a pointer to a type
// of this package, such as *PutResponse.
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

// ctxErr returns the error of ctx, or nil. After the deadline of ctx, it is
// context.DeadlineExceeded even if the timer of ctx has not fired yet. The server knows the
// deadline, too, and its error can arrive before the timer fires.
func ctxErr(ctx context.Context) error {
	if ctx == nil {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// IsConnCanceled reports whether a call failed with err because its connection or the client was
// closed, or because its context was cancelled.
func IsConnCanceled(err error) bool {
	return errors.Is(err, context.Canceled) || classify.Code(err) == codes.Canceled
}

// ConnectionError returns why no member can be reached. Use it to find out why a call ended with
// context.DeadlineExceeded. ConnectionError sends nothing, does not block, and may be called from
// any goroutine.
//
// The error has, for each endpoint, the failure of the last attempt to connect: connection refused,
// a bad certificate, no such host, and so on. It wraps the errors of the endpoints, for errors.As.
// Its text has no passwords.
//
// ConnectionError returns nil while any endpoint is connected, and before the first attempt has
// failed. After Close its result does not change. For a client without a connection (see
// NewCtxClient) it returns ErrNoAvailableEndpoints.
func (c *Client) ConnectionError() error {
	if !c.made() || c.tracker == nil {
		return ErrNoAvailableEndpoints
	}
	last := c.tracker.Failures()
	if len(last) == 0 {
		return nil
	}
	var failures []error
	for _, address := range slices.Sorted(maps.Keys(last)) {
		failures = append(failures, fmt.Errorf("%s: %w", endpoint.Redact(address), last[address]))
	}
	return &unreachable{errors.Join(failures...)}
}

// unreachable is the error that ConnectionError returns. It holds the last failure of each
// endpoint.
type unreachable struct{ failures error }

func (u *unreachable) Error() string {
	text := strings.ReplaceAll(u.failures.Error(), "\n", "; ")
	return "etcdclient: no member can be reached: " + userInfo.ReplaceAllString(text, "://***@")
}

func (u *unreachable) Unwrap() error { return u.failures }

// userInfo matches the user and password in a URL. The text of a dialer's error may contain such a
// URL.
var userInfo = regexp.MustCompile(`://[^/@\s"]*@`)

// logUnreachable logs a warning that no member can be reached. The balancer calls it at most once a
// minute. It must not take c.mu: the client may hold c.mu while it calls gRPC, and the balancer may
// run during such a call.
func (c *Client) logUnreachable() {
	if err := c.ConnectionError(); err != nil {
		c.GetLogger().Warn("no member can be reached", zap.Error(err))
	}
}
