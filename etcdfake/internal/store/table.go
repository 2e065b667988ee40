package store

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// handler answers a request while the store is locked.
type handler func(*Store, Caller, proto.Message) (proto.Message, error)

// answer makes a handler of f, a method of Store. If f fails, the handler returns a nil interface,
// and not an interface that holds a nil pointer.
func answer[Req, Resp proto.Message](f func(*Store, Caller, Req) (Resp, error)) handler {
	return func(s *Store, c Caller, req proto.Message) (proto.Message, error) {
		resp, err := f(s, c, req.(Req))
		if err != nil {
			return nil, err
		}
		return resp, nil
	}
}

// unary maps the full name of each unary RPC method to its handler.
var unary = map[string]handler{
	pb.KV_Range_FullMethodName:       answer((*Store).callRange),
	pb.KV_Put_FullMethodName:         answer((*Store).callPut),
	pb.KV_DeleteRange_FullMethodName: answer((*Store).callDelete),
	pb.KV_Txn_FullMethodName:         answer((*Store).callTxn),
	pb.KV_Compact_FullMethodName:     answer((*Store).callCompact),

	pb.Lease_LeaseGrant_FullMethodName:      answer((*Store).callGrant),
	pb.Lease_LeaseRevoke_FullMethodName:     answer((*Store).callRevoke),
	pb.Lease_LeaseTimeToLive_FullMethodName: answer((*Store).callTimeToLive),
	pb.Lease_LeaseLeases_FullMethodName:     answer((*Store).callLeases),

	pb.Cluster_MemberAdd_FullMethodName:     answer((*Store).callMemberAdd),
	pb.Cluster_MemberRemove_FullMethodName:  answer((*Store).callMemberRemove),
	pb.Cluster_MemberUpdate_FullMethodName:  answer((*Store).callMemberUpdate),
	pb.Cluster_MemberList_FullMethodName:    answer((*Store).callMemberList),
	pb.Cluster_MemberPromote_FullMethodName: answer((*Store).callMemberPromote),

	pb.Maintenance_Alarm_FullMethodName:      answer((*Store).callAlarm),
	pb.Maintenance_Status_FullMethodName:     answer((*Store).callStatus),
	pb.Maintenance_Defragment_FullMethodName: answer((*Store).callDefragment),
	pb.Maintenance_Hash_FullMethodName:       answer((*Store).callHash),
	pb.Maintenance_HashKV_FullMethodName:     answer((*Store).callHashKV),
	pb.Maintenance_MoveLeader_FullMethodName: answer((*Store).callMoveLeader),
	pb.Maintenance_Downgrade_FullMethodName:  answer((*Store).callDowngrade),

	pb.Auth_AuthEnable_FullMethodName:           answer((*Store).callAuthEnable),
	pb.Auth_AuthDisable_FullMethodName:          answer((*Store).callAuthDisable),
	pb.Auth_AuthStatus_FullMethodName:           answer((*Store).callAuthStatus),
	pb.Auth_Authenticate_FullMethodName:         answer((*Store).callAuthenticate),
	pb.Auth_UserAdd_FullMethodName:              answer((*Store).callUserAdd),
	pb.Auth_UserGet_FullMethodName:              answer((*Store).callUserGet),
	pb.Auth_UserList_FullMethodName:             answer((*Store).callUserList),
	pb.Auth_UserDelete_FullMethodName:           answer((*Store).callUserDelete),
	pb.Auth_UserChangePassword_FullMethodName:   answer((*Store).callUserChangePassword),
	pb.Auth_UserGrantRole_FullMethodName:        answer((*Store).callUserGrantRole),
	pb.Auth_UserRevokeRole_FullMethodName:       answer((*Store).callUserRevokeRole),
	pb.Auth_RoleAdd_FullMethodName:              answer((*Store).callRoleAdd),
	pb.Auth_RoleGet_FullMethodName:              answer((*Store).callRoleGet),
	pb.Auth_RoleList_FullMethodName:             answer((*Store).callRoleList),
	pb.Auth_RoleDelete_FullMethodName:           answer((*Store).callRoleDelete),
	pb.Auth_RoleGrantPermission_FullMethodName:  answer((*Store).callRoleGrantPermission),
	pb.Auth_RoleRevokePermission_FullMethodName: answer((*Store).callRoleRevokePermission),
}
