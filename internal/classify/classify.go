package classify

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// describe returns the status code and the description of err. If err wraps an EtcdError or a gRPC
// status, describe returns theirs. The code of a context's error is Canceled or DeadlineExceeded,
// and that of any other error is Unknown.
func describe(err error) (codes.Code, string) {
	if err == nil {
		return codes.OK, ""
	}
	if etcd, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return etcd.Code(), etcd.Error()
	}
	var grpcErr interface{ GRPCStatus() *status.Status }
	if errors.As(err, &grpcErr) {
		s := grpcErr.GRPCStatus()
		return s.Code(), s.Message()
	}
	return status.FromContextError(err).Code(), err.Error()
}

// Code returns the status code of err, or of the EtcdError or gRPC status that err wraps. For a
// context's error it returns Canceled or DeadlineExceeded, and for any other error Unknown.
func Code(err error) codes.Code {
	code, _ := describe(err)
	return code
}

// is reports whether err has the same code and the same whole description as known.
func is(err, known error) bool {
	code, message := describe(err)
	wantCode, wantMessage := describe(known)
	return code == wantCode && message == wantMessage
}

// IsUnavailable reports whether the member could not serve the request at that time: no connection,
// a lost connection, no leader, a stopping server, or a request that timed out inside the cluster.
func IsUnavailable(err error) bool { return Code(err) == codes.Unavailable }

// IsNoLeader reports whether the member refused the request because it knows no leader.
func IsNoLeader(err error) bool { return is(err, rpctypes.ErrGRPCNoLeader) }

// IsLearnerRefusal reports whether a learner refused a request that only voting members serve.
// Learners do that before they look at the request, so it has no effect.
func IsLearnerRefusal(err error) bool { return is(err, rpctypes.ErrGRPCNotSupportedForLearner) }

// IsAuthRefresh reports whether a request that failed with err may succeed with a new token. Its
// token was invalid, expired, missing, or made at an older revision of the auth store. Servers
// refuse such a request before they apply it.
func IsAuthRefresh(err error) bool {
	return is(err, rpctypes.ErrGRPCInvalidAuthToken) ||
		IsAuthOldRevision(err) ||
		is(err, rpctypes.ErrGRPCUserEmpty)
}

// IsAuthOldRevision reports whether the auth store changed between the server's check of a token
// and its check of the permissions.
func IsAuthOldRevision(err error) bool { return is(err, rpctypes.ErrGRPCAuthOldRevision) }

// IsAuthNotEnabled reports whether a login failed because the cluster runs without authentication.
func IsAuthNotEnabled(err error) bool { return is(err, rpctypes.ErrGRPCAuthNotEnabled) }

// IsConnClosing reports whether err is gRPC's error for a client connection that is being closed.
func IsConnClosing(err error) bool {
	//nolint:staticcheck // the only name under which gRPC exports its closing error
	return is(err, grpc.ErrClientConnClosing)
}

// IsUnimplemented reports whether the server does not know the method.
func IsUnimplemented(err error) bool { return Code(err) == codes.Unimplemented }

// IsTooManyRequests reports whether an overloaded member refused the request. The member still has
// to apply too many others. Servers decide that before they propose the request, so it has no
// effect. The code may be Unknown, because servers return this error without a status code.
func IsTooManyRequests(err error) bool {
	code, message := describe(err)
	return (code == codes.ResourceExhausted || code == codes.Unknown) &&
		message == rpctypes.ErrTooManyRequests.Error()
}

// IsMessageTooLarge reports whether a message was over a limit of the client or of a proxy: the
// code is ResourceExhausted, and the description is not one of etcd's.
func IsMessageTooLarge(err error) bool {
	code, message := describe(err)
	_, known := rpctypes.Error(errors.New(message)).(rpctypes.EtcdError)
	return !known && code == codes.ResourceExhausted
}

// CanRepeatRead reports whether a request without effects may succeed on another attempt: the
// member was unavailable, or it is a learner.
func CanRepeatRead(err error) bool { return IsUnavailable(err) || IsLearnerRefusal(err) }

// CanRepeatWrite reports whether a failed request with effects may be sent again. Either a learner
// refused it, or the member was unavailable and no connection took the request (sent is false). In
// both cases no server has applied it.
func CanRepeatWrite(err error, sent bool) bool {
	return IsLearnerRefusal(err) || (!sent && IsUnavailable(err))
}

// IsRefusal reports whether err proves that a request with effects had no effect. The server has
// then refused the request. After any other error the request may have been applied, or may be
// applied later.
//
// The code ResourceExhausted proves nothing, for two reasons:
//
//   - A server applies the request that takes the last space of its store, and yet answers with
//     this code.
//   - gRPC returns this code in the client if the answer is larger than the client's limit.
//
// The exception is etcd's error "too many requests", which proves a refusal.
func IsRefusal(err error) bool {
	if IsTooManyRequests(err) {
		return true
	}
	switch Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.Unauthenticated,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return true
	}
	return false
}

// IsHalt reports whether a stream that ended with err should stay closed. That is so if ctx is
// done, if the connection is being closed, or if another attempt would get the same status. If only
// the token was not valid, IsHalt returns false: see [IsAuthRefresh].
func IsHalt(ctx context.Context, err error) bool {
	if ctx != nil && ctx.Err() != nil {
		return true
	}
	switch Code(err) {
	case codes.Canceled:
		return IsConnClosing(err)
	case codes.InvalidArgument, codes.Unauthenticated:
		return !IsAuthRefresh(err)
	case codes.FailedPrecondition:
		return !IsLearnerRefusal(err) && !is(err, rpctypes.ErrGRPCNotLeader) &&
			// A member returns this error while it does not know the cluster's version yet.
			!is(err, rpctypes.ErrGRPCNotCapable)
	case codes.ResourceExhausted:
		return !is(err, rpctypes.ErrGRPCRequestTooManyRequests)
	case codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.OutOfRange,
		codes.Unimplemented, codes.DataLoss:
		return true
	default:
		// The code is OK (the server ended the stream), Unknown, DeadlineExceeded, Aborted,
		// Internal or Unavailable.
		return false
	}
}
