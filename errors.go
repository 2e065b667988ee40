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
	// ErrNoAvailableEndpoints is returned where there is no endpoint to connect
	// to: by New for a Config without any, by Sync for a cluster that lists none,
	// and by the calls of a client without a connection (see NewCtxClient).
	ErrNoAvailableEndpoints error = noEndpoint{}

	// ErrOldCluster is returned by New with Config.RejectOldCluster where the
	// cluster is older than this client serves.
	ErrOldCluster = errors.New("etcdclient: old cluster version")

	// ErrMutuallyExclusiveCfg is returned by New for a Config that has both a
	// Token and a Username or Password.
	ErrMutuallyExclusiveCfg = errors.New("Username/Password and Token configurations are mutually exclusive")
)

// noEndpoint is the type of ErrNoAvailableEndpoints.
type noEndpoint struct{}

func (noEndpoint) Error() string { return classify.NoEndpoints }

// GRPCStatus makes a status of it that ends a stream for good: there is no use in
// opening it again.
func (e noEndpoint) GRPCStatus() *status.Status {
	return status.New(codes.FailedPrecondition, e.Error())
}

// errClosing is what calls return after the client was closed: a gRPC status
// with codes.Canceled, for which IsConnCanceled is true.
//
//lint:ignore SA1019 the only name under which gRPC exports its closing error
var errClosing = grpc.ErrClientConnClosing

// ContextError turns an error of a gRPC call made with ctx into the one that
// this package documents:
//
//   - the well-known errors of etcd's servers become the rpctypes.EtcdError
//     that compares equal to the variables of package rpctypes;
//   - where ctx is done and the error is due to that, the result is ctx's error,
//     context.Canceled or context.DeadlineExceeded itself, which compares with ==
//     (Client.ConnectionError says why there was no connection, if there was none);
//   - anything else, nil included, is returned as it is.
func ContextError(ctx context.Context, err error) error { return toErr(ctx, err) }

// toErr is the one conversion of errors on their way to users; see ContextError.
func toErr(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if known, ok := rpctypes.Error(err).(rpctypes.EtcdError); ok {
		return known
	}
	if errors.Is(err, rpctypes.ErrTimeoutWaitAppliedIndex) {
		// which package rpctypes does not know by its text
		return rpctypes.ErrTimeoutWaitAppliedIndex
	}
	switch classify.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return cmp.Or(ctxErr(ctx), err)
	}
	return err
}

// unary makes one call of a stub and converts its error. The result has the protocol's
// type; a method converts it to the type of this package, which also converts nil.
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

// ctxErr is the error of ctx, if there is one. A deadline counts from when it
// has passed: the server, which is told of it, may be the first to notice.
func ctxErr(ctx context.Context) error {
	if ctx == nil {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// IsConnCanceled reports whether a call failed because its connection, or the
// whole client, was being closed, or because its context was cancelled.
func IsConnCanceled(err error) bool {
	if err == nil {
		return false
	}
	return errors.Is(err, context.Canceled) || classify.Code(err) == codes.Canceled
}

// ConnectionError returns why no member can be reached: for each endpoint how the
// last attempt to connect to it has failed (refused, a bad certificate, no such
// host, and so on). It is nil while any endpoint is connected, and before the first
// attempt has failed. After Close it is what it was; for a client without a
// connection (see NewCtxClient) it is ErrNoAvailableEndpoints.
//
// It is meant to explain a call that ended with context.DeadlineExceeded. It sends
// nothing, does not block, and may be called from any goroutine. The error wraps
// those of the endpoints, for errors.As; its text has no passwords.
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

// unreachable holds the failure of each endpoint.
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

// logUnreachable warns that no member can be reached. It is called once a minute at
// most, by gRPC: it takes no lock that is held while gRPC is called.
func (c *Client) logUnreachable() {
	if err := c.ConnectionError(); err != nil {
		c.GetLogger().Warn("no member can be reached", zap.Error(err))
	}
}
