package classify

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestErrorOfACancelReason: a watch's cancel reason may be the description of an error, or the text
// of a whole gRPC status. CancelReason understands both.
func TestErrorOfACancelReason(t *testing.T) {
	const denied = "etcdserver: permission denied"
	for reason, want := range map[string]error{
		denied: rpctypes.ErrPermissionDenied,
		"rpc error: code = PermissionDenied desc = " + denied: rpctypes.ErrPermissionDenied,
		"rpc error: code = Canceled desc = grpc: the client connection is closing": status.Error(
			codes.Canceled, "grpc: the client connection is closing"),
		"rpc error: code = Odd desc = x": status.Error(codes.FailedPrecondition,
			"rpc error: code = Odd desc = x"),
		"rpc error: code = Canceled": status.Error(codes.FailedPrecondition,
			"rpc error: code = Canceled"),
		"anything else": status.Error(codes.FailedPrecondition, "anything else"),
	} {
		got := CancelReason(reason)
		if _, known := want.(rpctypes.EtcdError); known {
			assert.Equal(t, want, got, reason)
			continue
		}
		assert.Equal(t, status.Code(want), status.Code(got), reason)
		assert.Equal(t, status.Convert(want).Message(), status.Convert(got).Message(), reason)
	}
}
