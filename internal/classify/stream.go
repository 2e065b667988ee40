package classify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NoEndpoints is the description of the error of a client that was made without a connection.
const NoEndpoints = "etcdclient: no available endpoints"

var errNoEndpoints = status.Error(codes.FailedPrecondition, NoEndpoints)

// IsFinal reports whether a stream that ended with err must not be opened again. opened is false if
// the stream could not be opened.
//
// Load balancers and proxies end a stream with any status while something is wrong with them. Such
// a fault is temporary. So an error is final only if it is in this list:
//
//   - any error after ctx has ended: the owner of the stream has ended the stream.
//   - [NoEndpoints]: the client was made without a connection and never has one.
//   - gRPC's "the client connection is closing" from opening a stream: this process has closed the
//     connection. An open stream may end with this status because a proxy closed its own
//     connection.
//
// No status of an etcd server is in the list. Those that end a watch or keepalive stream hold for
// one member at one time, or for one lease. etcd reports the end of a watch by a response on the
// stream, and a lease that is gone by an answer without a TTL.
func IsFinal(ctx context.Context, err error, opened bool) bool {
	return ctx != nil && ctx.Err() != nil || is(err, errNoEndpoints) ||
		!opened && IsConnClosing(err)
}

// IsOptionRefusal reports whether a stream may have ended because its server does not know an
// option of the last request. The code of err is then FailedPrecondition or InvalidArgument, and
// err is not one of etcd's own errors.
func IsOptionRefusal(err error) bool {
	switch Code(err) {
	case codes.FailedPrecondition, codes.InvalidArgument:
		_, known := rpctypes.Error(err).(rpctypes.EtcdError)
		return !known && !is(err, errNoEndpoints)
	}
	return false
}

// IsOverLimit reports whether gRPC refused a received message that was over this client's limit.
// Servers and proxies use the same status code for other limits, so IsOverLimit also compares the
// whole description.
func IsOverLimit(err error) bool {
	code, message := describe(err)
	if code != codes.ResourceExhausted {
		return false
	}
	var size, limit int64
	const received = "grpc: received message larger than max (%d vs. %d)"
	_, _ = fmt.Sscanf(message, received, &size, &limit)
	if message == fmt.Sprintf(received, size, limit) {
		return true
	}
	const decompressed = "grpc: received message after decompression larger than max %d"
	_, _ = fmt.Sscanf(message, decompressed, &limit)
	return message == fmt.Sprintf(decompressed, limit)
}

// IsServersEnd reports whether the server itself decided to end a stream with err. That is so for
// io.EOF, with which a server ends a stream without an error, and for most gRPC statuses. Some
// statuses have other causes: the server is unavailable, a message was over a limit, or the client
// has ended the stream.
func IsServersEnd(err error) bool {
	if errors.Is(err, io.EOF) {
		return true
	}
	if _, ok := status.FromError(err); !ok {
		return false
	}
	switch Code(err) {
	case codes.OK, codes.Unavailable, codes.Canceled, codes.DeadlineExceeded,
		codes.ResourceExhausted:
		return false
	}
	return true
}

// CancelReason returns the error of a watch that the server has cancelled. The server's response
// has the text reason in its field cancel_reason. If this is the text of a gRPC status error,
// CancelReason uses that status. Otherwise the status has codes.FailedPrecondition, and the text as
// its description. If package rpctypes has an error for the status, CancelReason returns that
// error.
func CancelReason(reason string) error {
	if st, ok := parseStatus(reason); ok {
		return rpctypes.Error(st.Err())
	}
	return rpctypes.Error(status.Error(codes.FailedPrecondition, reason))
}

// parseStatus parses the text of a gRPC status error and reports whether text is one. Servers and
// proxies write such a text into a cancel_reason, instead of the description alone.
func parseStatus(text string) (*status.Status, bool) {
	rest, ok := strings.CutPrefix(text, "rpc error: code = ")
	if !ok {
		return nil, false
	}
	name, desc, ok := strings.Cut(rest, " desc = ")
	if !ok {
		return nil, false
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code.String() == name {
			return status.New(code, desc), true
		}
	}
	return nil, false
}
