package mockserver

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// emptyKV answers unary requests. It does not stream ranges, as servers before etcd
// 3.7 do not.
type emptyKV struct{ pb.UnimplementedKVServer }

func (emptyKV) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{}, nil
}

func (emptyKV) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{}, nil
}

func (emptyKV) DeleteRange(
	context.Context, *pb.DeleteRangeRequest,
) (*pb.DeleteRangeResponse, error) {
	return &pb.DeleteRangeResponse{}, nil
}

func (emptyKV) Txn(context.Context, *pb.TxnRequest) (*pb.TxnResponse, error) {
	return &pb.TxnResponse{}, nil
}

func (emptyKV) Compact(context.Context, *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	return &pb.CompactionResponse{}, nil
}

// emptyLease answers unary requests, and ends keepalive streams at once.
type emptyLease struct{ pb.UnimplementedLeaseServer }

func (emptyLease) LeaseGrant(
	context.Context, *pb.LeaseGrantRequest,
) (*pb.LeaseGrantResponse, error) {
	return &pb.LeaseGrantResponse{}, nil
}

func (emptyLease) LeaseRevoke(
	context.Context, *pb.LeaseRevokeRequest,
) (*pb.LeaseRevokeResponse, error) {
	return &pb.LeaseRevokeResponse{}, nil
}

func (emptyLease) LeaseTimeToLive(
	context.Context, *pb.LeaseTimeToLiveRequest,
) (*pb.LeaseTimeToLiveResponse, error) {
	return &pb.LeaseTimeToLiveResponse{}, nil
}

func (emptyLease) LeaseLeases(
	context.Context, *pb.LeaseLeasesRequest,
) (*pb.LeaseLeasesResponse, error) {
	return &pb.LeaseLeasesResponse{}, nil
}

func (emptyLease) LeaseKeepAlive(pb.Lease_LeaseKeepAliveServer) error { return nil }
