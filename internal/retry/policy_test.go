package retry

import (
	"context"
	"path"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// harmless are the methods that change nothing on the server, whatever the request is.
var harmless = []string{
	"Range", "LeaseTimeToLive", "LeaseLeases", "MemberList", "Status", "Hash", "HashKV",
	"AuthStatus", "UserGet", "UserList", "RoleGet", "RoleList",
}

// TestWhatMayChangeSomethingIsAWrite: every method has the policy of a write, except Authenticate
// and the methods in harmless, which change nothing.
func TestWhatMayChangeSomethingIsAWrite(t *testing.T) {
	for _, svc := range []grpc.ServiceDesc{
		pb.KV_ServiceDesc, pb.Lease_ServiceDesc, pb.Cluster_ServiceDesc, pb.Maintenance_ServiceDesc,
		pb.Auth_ServiceDesc,
	} {
		for _, m := range svc.Methods {
			want := write
			switch {
			case m.MethodName == "Authenticate":
				want = login
			case slices.Contains(harmless, m.MethodName):
				want = read
			}
			assert.Equal(t, want, policyOf(context.Background(),
				path.Join("/", svc.ServiceName, m.MethodName), putReq), m.MethodName)
		}
	}
}

// TestTransactionsThatOnlyRead: a transaction has the policy of a read if it only gets keys. It has
// the policy of a write if it puts or deletes a key, even in a nested transaction.
func TestTransactionsThatOnlyRead(t *testing.T) {
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{}}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{}}
	del := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{}}
	nested := func(then, orElse []*pb.RequestOp) []*pb.RequestOp {
		return []*pb.RequestOp{get, {Request: &pb.RequestOp_RequestTxn{
			RequestTxn: &pb.TxnRequest{Success: then, Failure: orElse}}}}
	}
	for name, tc := range map[string]struct {
		txn  *pb.TxnRequest
		want policy
	}{
		"nothing": {&pb.TxnRequest{}, read},
		"gets": {&pb.TxnRequest{Success: []*pb.RequestOp{get},
			Failure: []*pb.RequestOp{get, get}}, read},
		"nested gets": {&pb.TxnRequest{Failure: nested([]*pb.RequestOp{get}, nil)},
			read},
		"put": {&pb.TxnRequest{Success: []*pb.RequestOp{get, put}}, write},
		"delete in the else": {&pb.TxnRequest{Success: []*pb.RequestOp{get},
			Failure: []*pb.RequestOp{del}}, write},
		"nested put": {&pb.TxnRequest{Success: nested([]*pb.RequestOp{put}, nil)},
			write},
		"nested delete, the else": {&pb.TxnRequest{Failure: nested(nil, []*pb.RequestOp{del})},
			write},
		"nested twice": {&pb.TxnRequest{
			Success: nested(nested(nil, []*pb.RequestOp{put}), nil)}, write},
		"op of no kind": {&pb.TxnRequest{Success: []*pb.RequestOp{{}}}, write},
	} {
		assert.Equal(t, tc.want, policyOf(context.Background(), pb.KV_Txn_FullMethodName, tc.txn),
			name)
	}
}
