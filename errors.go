package clientv3

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
	if errors.Is(err, rpctypes.ErrTimeoutWaitAppliedIndex) { // which package rpctypes does not know by its text
		return rpctypes.ErrTimeoutWaitAppliedIndex
	}
	switch classify.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return cmp.Or(ctxErr(ctx), err)
	}
	return err
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
