package etcdfake

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

const etcdPrefix = "/etcdserverpb."

// defaultUnary is the table of answers without a script.
func (s *Server) defaultUnary() map[string]UnaryHandler {
	return map[string]UnaryHandler{
		pb.KV_Range_FullMethodName:       answer(s, (*state).rangeLocked),
		pb.KV_Put_FullMethodName:         answer(s, (*state).putLocked),
		pb.KV_DeleteRange_FullMethodName: answer(s, (*state).deleteLocked),
		pb.KV_Txn_FullMethodName:         answer(s, (*state).txnLocked),
		pb.KV_Compact_FullMethodName:     answer(s, (*state).compactLocked),

		pb.Lease_LeaseGrant_FullMethodName:      answer(s, (*state).grantLocked),
		pb.Lease_LeaseRevoke_FullMethodName:     answer(s, (*state).revokeLocked),
		pb.Lease_LeaseTimeToLive_FullMethodName: answer(s, (*state).timeToLiveLocked),
		pb.Lease_LeaseLeases_FullMethodName:     answer(s, (*state).leasesLocked),

		pb.Cluster_MemberAdd_FullMethodName:     answer(s, (*state).memberAddLocked),
		pb.Cluster_MemberRemove_FullMethodName:  answer(s, (*state).memberRemoveLocked),
		pb.Cluster_MemberUpdate_FullMethodName:  answer(s, (*state).memberUpdateLocked),
		pb.Cluster_MemberList_FullMethodName:    answer(s, (*state).memberListLocked),
		pb.Cluster_MemberPromote_FullMethodName: answer(s, (*state).memberPromoteLocked),

		pb.Maintenance_Alarm_FullMethodName:      answer(s, (*state).alarmLocked),
		pb.Maintenance_Status_FullMethodName:     answerWith(s, s.status),
		pb.Maintenance_Defragment_FullMethodName: answer(s, (*state).defragmentLocked),
		pb.Maintenance_Hash_FullMethodName:       answer(s, (*state).hashLocked),
		pb.Maintenance_HashKV_FullMethodName:     answer(s, (*state).hashKVLocked),
		pb.Maintenance_MoveLeader_FullMethodName: answer(s, (*state).moveLeaderLocked),
		pb.Maintenance_Downgrade_FullMethodName:  answerWith(s, s.downgrade),

		pb.Auth_AuthEnable_FullMethodName:           answer(s, (*state).authEnableLocked),
		pb.Auth_AuthDisable_FullMethodName:          answer(s, (*state).authDisableLocked),
		pb.Auth_AuthStatus_FullMethodName:           answer(s, (*state).authStatusLocked),
		pb.Auth_Authenticate_FullMethodName:         answer(s, (*state).authenticateLocked),
		pb.Auth_UserAdd_FullMethodName:              answer(s, (*state).userAddLocked),
		pb.Auth_UserGet_FullMethodName:              answer(s, (*state).userGetLocked),
		pb.Auth_UserList_FullMethodName:             answer(s, (*state).userListLocked),
		pb.Auth_UserDelete_FullMethodName:           answer(s, (*state).userDeleteLocked),
		pb.Auth_UserChangePassword_FullMethodName:   answer(s, (*state).userPasswordLocked),
		pb.Auth_UserGrantRole_FullMethodName:        answer(s, (*state).userGrantLocked),
		pb.Auth_UserRevokeRole_FullMethodName:       answer(s, (*state).userRevokeLocked),
		pb.Auth_RoleAdd_FullMethodName:              answer(s, (*state).roleAddLocked),
		pb.Auth_RoleGet_FullMethodName:              answer(s, (*state).roleGetLocked),
		pb.Auth_RoleList_FullMethodName:             answer(s, (*state).roleListLocked),
		pb.Auth_RoleDelete_FullMethodName:           answer(s, (*state).roleDeleteLocked),
		pb.Auth_RoleGrantPermission_FullMethodName:  answer(s, (*state).roleGrantLocked),
		pb.Auth_RoleRevokePermission_FullMethodName: answer(s, (*state).roleRevokeLocked),

		healthpb.Health_Check_FullMethodName: func(ctx context.Context,
			req proto.Message) (proto.Message, error) {
			return s.health.Check(ctx, req.(*healthpb.HealthCheckRequest))
		},
		healthpb.Health_List_FullMethodName: func(ctx context.Context,
			req proto.Message) (proto.Message, error) {
			return s.health.List(ctx, req.(*healthpb.HealthListRequest))
		},
	}
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
func cannedAnswers(given []proto.Message) map[string]proto.Message {
	hdr := &pb.ResponseHeader{ClusterId: clusterID, MemberId: firstMemberID, Revision: 2,
		RaftTerm: raftTerm}
	kv := &keyValue{Key: []byte("key"), Value: []byte("value"), CreateRevision: 2, ModRevision: 2,
		Version: 1}
	canned := map[string]proto.Message{
		pb.KV_Put_FullMethodName:   &pb.PutResponse{Header: hdr},
		pb.KV_Range_FullMethodName: &pb.RangeResponse{Header: hdr, Kvs: []*keyValue{kv}, Count: 1},
		pb.KV_Txn_FullMethodName: &pb.TxnResponse{Header: hdr, Succeeded: true,
			Responses: []*pb.ResponseOp{
				{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: hdr}}},
			}},
	}
	for _, msg := range given {
		switch msg.(type) {
		case *pb.PutResponse:
			canned[pb.KV_Put_FullMethodName] = msg
		case *pb.RangeResponse:
			canned[pb.KV_Range_FullMethodName] = msg
		case *pb.TxnResponse:
			canned[pb.KV_Txn_FullMethodName] = msg
		case *pb.DeleteRangeResponse:
			canned[pb.KV_DeleteRange_FullMethodName] = msg
		}
	}
	return canned
}
