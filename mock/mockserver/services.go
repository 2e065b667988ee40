package mockserver

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// answered lists the methods that a server answers with an empty message. RangeStream is not in the
// list, because servers before etcd 3.7 do not know it.
var answered = []string{
	pb.KV_Range_FullMethodName, pb.KV_Put_FullMethodName, pb.KV_DeleteRange_FullMethodName,
	pb.KV_Txn_FullMethodName, pb.KV_Compact_FullMethodName,
	pb.Lease_LeaseGrant_FullMethodName, pb.Lease_LeaseRevoke_FullMethodName,
	pb.Lease_LeaseTimeToLive_FullMethodName, pb.Lease_LeaseLeases_FullMethodName,
}

// serve handles a call of any method.
func serve(_ any, call grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(call)
	switch {
	case method == pb.Lease_LeaseKeepAlive_FullMethodName:
		return nil
	case !slices.Contains(answered, method):
		return status.Errorf(codes.Unimplemented, "mockserver: unknown method %s", method)
	}
	if err := call.RecvMsg(&emptypb.Empty{}); err != nil {
		return err
	}
	return call.SendMsg(&emptypb.Empty{})
}
