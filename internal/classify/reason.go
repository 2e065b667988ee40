package classify

import (
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// CancelReason returns the error of a watch that its server has cancelled with reason: the error of
// package rpctypes that has this description, the status whose text the reason is, or a status of
// codes.FailedPrecondition with the reason as its description.
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
