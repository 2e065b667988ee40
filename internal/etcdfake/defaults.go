package etcdfake

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const etcdPrefix = "/etcdserverpb."

// handlers is the table of etcd's unary methods.
func (s *Server) handlers() map[string]handler {
	return map[string]handler{
		pb.KV_Range_FullMethodName:       answer((*state).rangeLocked),
		pb.KV_Put_FullMethodName:         answer((*state).putLocked),
		pb.KV_DeleteRange_FullMethodName: answer((*state).deleteLocked),
		pb.KV_Txn_FullMethodName:         answer((*state).txnLocked),
		pb.KV_Compact_FullMethodName:     done((*state).compactLocked),

		pb.Lease_LeaseGrant_FullMethodName:      answer((*state).grantLocked),
		pb.Lease_LeaseRevoke_FullMethodName:     done((*state).revokeLocked),
		pb.Lease_LeaseTimeToLive_FullMethodName: answer((*state).ttlLocked),
		pb.Lease_LeaseLeases_FullMethodName:     answer((*state).leasesLocked),

		pb.Cluster_MemberAdd_FullMethodName:     answer((*state).memberAddLocked),
		pb.Cluster_MemberRemove_FullMethodName:  answer((*state).memberRemoveLocked),
		pb.Cluster_MemberUpdate_FullMethodName:  answer((*state).memberUpdateLocked),
		pb.Cluster_MemberList_FullMethodName:    answer((*state).memberListLocked),
		pb.Cluster_MemberPromote_FullMethodName: answer((*state).promoteLocked),

		pb.Maintenance_Alarm_FullMethodName:      answer((*state).alarmLocked),
		pb.Maintenance_Status_FullMethodName:     answer(s.statusLocked),
		pb.Maintenance_Defragment_FullMethodName: done((*state).defragmentLocked),
		pb.Maintenance_Hash_FullMethodName:       answer((*state).hashLocked),
		pb.Maintenance_HashKV_FullMethodName:     answer((*state).hashKVLocked),
		pb.Maintenance_MoveLeader_FullMethodName: done((*state).moveLeaderLocked),
		pb.Maintenance_Downgrade_FullMethodName:  answer(s.downgradeLocked),

		pb.Auth_AuthEnable_FullMethodName:           done((*state).authEnableLocked),
		pb.Auth_AuthDisable_FullMethodName:          done((*state).authDisableLocked),
		pb.Auth_AuthStatus_FullMethodName:           answer((*state).authStatusLocked),
		pb.Auth_Authenticate_FullMethodName:         answer((*state).authenticateLocked),
		pb.Auth_UserAdd_FullMethodName:              doneAuth((*state).userAddLocked),
		pb.Auth_UserGet_FullMethodName:              answer((*state).userGetLocked),
		pb.Auth_UserList_FullMethodName:             answer((*state).userListLocked),
		pb.Auth_UserDelete_FullMethodName:           doneAuth((*state).userDeleteLocked),
		pb.Auth_UserChangePassword_FullMethodName:   doneAuth((*state).userPasswordLocked),
		pb.Auth_UserGrantRole_FullMethodName:        doneAuth((*state).userGrantLocked),
		pb.Auth_UserRevokeRole_FullMethodName:       doneAuth((*state).userRevokeLocked),
		pb.Auth_RoleAdd_FullMethodName:              doneAuth((*state).roleAddLocked),
		pb.Auth_RoleGet_FullMethodName:              answer((*state).roleGetLocked),
		pb.Auth_RoleList_FullMethodName:             answer((*state).roleListLocked),
		pb.Auth_RoleDelete_FullMethodName:           doneAuth((*state).roleDeleteLocked),
		pb.Auth_RoleGrantPermission_FullMethodName:  doneAuth((*state).roleGrantLocked),
		pb.Auth_RoleRevokePermission_FullMethodName: doneAuth((*state).roleRevokeLocked),
	}
}

// defaultUnary is the answer of a unary method without a script.
func (s *Server) defaultUnary(desc protoreflect.MethodDescriptor, h handler) UnaryHandler {
	if h == nil {
		return s.healthUnary
	}
	// The generated packages have registered their messages, so this cannot fail.
	resp, _ := protoregistry.GlobalTypes.FindMessageByName(desc.Output().FullName())
	return func(_ context.Context, req proto.Message) (proto.Message, error) {
		return s.apply(h, req, resp.New().Interface())
	}
}

func (s *Server) healthUnary(ctx context.Context, req proto.Message) (proto.Message, error) {
	if check, ok := req.(*healthpb.HealthCheckRequest); ok {
		return s.health.Check(ctx, check)
	}
	return s.health.List(ctx, req.(*healthpb.HealthListRequest))
}

// defaultStreams is the table of streams without a script.
func (s *Server) defaultStreams() map[string]StreamHandler {
	return map[string]StreamHandler{
		pb.KV_RangeStream_FullMethodName:       s.serveRangeStream,
		pb.Watch_Watch_FullMethodName:          bidi(s.serveWatch),
		pb.Lease_LeaseKeepAlive_FullMethodName: bidi(s.serveKeepAlive),
		pb.Maintenance_Snapshot_FullMethodName: s.serveSnapshot,
		healthpb.Health_Watch_FullMethodName: func(ss grpc.ServerStream) error {
			req := new(healthpb.HealthCheckRequest)
			if err := ss.RecvMsg(req); err != nil {
				return err
			}
			return s.health.Watch(req, &grpc.GenericServerStream[healthpb.HealthCheckRequest,
				healthpb.HealthCheckResponse]{ServerStream: ss})
		},
	}
}

// cannedAnswers are the prebuilt answers of the hot methods, by full name.
func cannedAnswers() map[string]proto.Message {
	hdr := &pb.ResponseHeader{ClusterId: clusterID, MemberId: firstMemberID, Revision: 2,
		RaftTerm: raftTerm}
	kv := &keyValue{Key: []byte("key"), Value: []byte("value"), CreateRevision: 2, ModRevision: 2,
		Version: 1}
	return map[string]proto.Message{
		pb.KV_Put_FullMethodName:   &pb.PutResponse{Header: hdr},
		pb.KV_Range_FullMethodName: &pb.RangeResponse{Header: hdr, Kvs: []*keyValue{kv}, Count: 1},
		pb.KV_Txn_FullMethodName: &pb.TxnResponse{Header: hdr, Succeeded: true,
			Responses: []*pb.ResponseOp{
				{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: hdr}}},
			}},
	}
}
