package retry

import (
	"context"
	"errors"

	"go.etcd.io/etcd/client/v3/internal/classify"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ConnectError is the error of a request whose deadline passed before it got a
// connection. It is both the context's error and the reason why there was none.
type ConnectError struct {
	Err   error // context.DeadlineExceeded
	Cause error // gRPC's status, with the last failure to connect
}

func (e *ConnectError) Error() string {
	return e.Err.Error() + ": " + status.Convert(e.Cause).Message()
}

// Unwrap returns the context's error and the cause.
func (e *ConnectError) Unwrap() []error { return []error{e.Err, e.Cause} }

// interrupted is the error of a request whose context ended with ctxErr, given
// the last attempt's. Where that attempt sat waiting for a connection, gRPC's
// text says why; otherwise the context's own error says all.
func interrupted(ctxErr, err error, connected bool) error {
	if connected || !errors.Is(ctxErr, context.DeadlineExceeded) || classify.Code(err) != codes.DeadlineExceeded {
		return ctxErr
	}
	if text := status.Convert(err).Message(); text == "" || text == ctxErr.Error() {
		return ctxErr
	}
	return &ConnectError{Err: ctxErr, Cause: err}
}
