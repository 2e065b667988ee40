package retry

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// policy says when a failed request may be sent again.
type policy uint8

const (
	// once is for requests that this package never sends again: two-way streams, which their owners
	// open again, and methods that etcd does not define.
	once policy = iota
	// write is for requests that are sent again only on proof that no server applied them.
	write
	// read is for requests that are sent again even if a server may have served them.
	read
	// login is for Authenticate, which is sent again like a read. Authenticate never waits for a
	// new token, because it fetches that token.
	login
)

// policies has the policy of every method of etcd's services.
var policies = map[string]policy{
	pb.KV_Range_FullMethodName:       read,
	pb.KV_RangeStream_FullMethodName: read,
	pb.KV_Put_FullMethodName:         write,
	pb.KV_DeleteRange_FullMethodName: write,
	pb.KV_Txn_FullMethodName:         write, // "read" if the request changes nothing
	pb.KV_Compact_FullMethodName:     write,

	pb.Watch_Watch_FullMethodName:          once,
	pb.Lease_LeaseKeepAlive_FullMethodName: once,

	pb.Lease_LeaseGrant_FullMethodName:      write, // "read" if the request is marked as Idempotent
	pb.Lease_LeaseRevoke_FullMethodName:     write,
	pb.Lease_LeaseTimeToLive_FullMethodName: read,
	pb.Lease_LeaseLeases_FullMethodName:     read,

	pb.Cluster_MemberAdd_FullMethodName:     write,
	pb.Cluster_MemberRemove_FullMethodName:  write,
	pb.Cluster_MemberUpdate_FullMethodName:  write,
	pb.Cluster_MemberList_FullMethodName:    read,
	pb.Cluster_MemberPromote_FullMethodName: write,

	pb.Maintenance_Alarm_FullMethodName:      write, // "read" if the request only lists alarms
	pb.Maintenance_Status_FullMethodName:     read,
	pb.Maintenance_Defragment_FullMethodName: write,
	pb.Maintenance_Hash_FullMethodName:       read,
	pb.Maintenance_HashKV_FullMethodName:     read,
	pb.Maintenance_Snapshot_FullMethodName:   read,
	pb.Maintenance_MoveLeader_FullMethodName: write,
	pb.Maintenance_Downgrade_FullMethodName:  write,

	pb.Auth_AuthEnable_FullMethodName:           write,
	pb.Auth_AuthDisable_FullMethodName:          write,
	pb.Auth_AuthStatus_FullMethodName:           read,
	pb.Auth_Authenticate_FullMethodName:         login,
	pb.Auth_UserAdd_FullMethodName:              write,
	pb.Auth_UserGet_FullMethodName:              read,
	pb.Auth_UserList_FullMethodName:             read,
	pb.Auth_UserDelete_FullMethodName:           write,
	pb.Auth_UserChangePassword_FullMethodName:   write,
	pb.Auth_UserGrantRole_FullMethodName:        write,
	pb.Auth_UserRevokeRole_FullMethodName:       write,
	pb.Auth_RoleAdd_FullMethodName:              write,
	pb.Auth_RoleGet_FullMethodName:              read,
	pb.Auth_RoleList_FullMethodName:             read,
	pb.Auth_RoleDelete_FullMethodName:           write,
	pb.Auth_RoleGrantPermission_FullMethodName:  write,
	pb.Auth_RoleRevokePermission_FullMethodName: write,
}

// policyOf returns the policy of a request. That is the policy of its method, except that these
// requests are reads:
//   - a Txn that changes nothing
//   - an Alarm request that only lists alarms
//   - a LeaseGrant request that is marked as [Idempotent] and has a lease id
func policyOf(ctx context.Context, method string, req any) policy {
	p := policies[method]
	switch r := req.(type) {
	case *pb.LeaseGrantRequest:
		if p == write && r.GetID() != 0 && idempotent(ctx, method) != nil {
			return read
		}
	case *pb.TxnRequest:
		if p == write && onlyRanges(r) {
			return read
		}
	case *pb.AlarmRequest:
		if p == write && r.GetAction() == pb.AlarmRequest_GET {
			return read
		}
	}
	return p
}

// onlyRanges reports whether no branch of the transaction changes anything.
func onlyRanges(txn *pb.TxnRequest) bool {
	return allRanges(txn.GetSuccess()) && allRanges(txn.GetFailure())
}

func allRanges(branch []*pb.RequestOp) bool {
	for _, op := range branch {
		switch r := op.GetRequest().(type) {
		case *pb.RequestOp_RequestRange:
		case *pb.RequestOp_RequestTxn:
			if !onlyRanges(r.RequestTxn) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
