package kubernetes_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// Parts of the fake responses in the tests below.
var (
	header  = &pb.ResponseHeader{Revision: 7}
	pair    = &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 7}
	putDone = &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{}}}
	gotPair = &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
		ResponseRange: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{pair}}}}
	gotPairs = &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
		ResponseRange: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{pair, pair}}}}
)

// TestShortTransactionsAreErrors: OptimisticPut and OptimisticDelete return an error if the
// response to their transaction lacks a part, or has an unexpected one.
func TestShortTransactionsAreErrors(t *testing.T) {
	tests := map[string]*pb.TxnResponse{
		"nothing":                {},
		"success without answer": {Header: header, Succeeded: true},
		"failure without answer": {Header: header},
		"empty answer":           {Header: header, Responses: []*pb.ResponseOp{{}}},
		"success with a range": {Header: header, Succeeded: true,
			Responses: []*pb.ResponseOp{gotPair}},
		"failure with a put": {Header: header, Responses: []*pb.ResponseOp{putDone}},
		"too many answers": {Header: header, Succeeded: true,
			Responses: []*pb.ResponseOp{putDone, putDone}},
		"too many pairs": {Header: header, Responses: []*pb.ResponseOp{gotPairs}},
		"no header":      {Succeeded: true, Responses: []*pb.ResponseOp{putDone}},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.New(t)
			fake.On("Txn", func(*etcdfake.Call) etcdfake.Action {
				return etcdfake.Answer(answer)
			})
			k := newClient(t, fake.Listen()).Kubernetes
			put, err := k.OptimisticPut(t.Context(), "k", nil, 1,
				kubernetes.PutOptions{GetOnFailure: true})
			require.ErrorContains(t, err, "etcdclient: malformed response: ")
			require.Zero(t, put)
			del, err := k.OptimisticDelete(t.Context(), "k", 1,
				kubernetes.DeleteOptions{GetOnFailure: true})
			require.ErrorContains(t, err, "etcdclient: malformed response: ")
			require.Zero(t, del)
			require.Equal(t, 2, fake.Calls("Txn"), "none of them is sent again")
		})
	}
}

// TestShortRangesAreErrors: Get and List return an error for a response without a header, or with
// too many pairs.
func TestShortRangesAreErrors(t *testing.T) {
	tests := map[string]*pb.RangeResponse{
		"nothing":        {},
		"no header":      {Kvs: []*mvccpb.KeyValue{pair}},
		"too many pairs": {Kvs: []*mvccpb.KeyValue{pair, pair}},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.New(t)
			fake.On("Range", func(*etcdfake.Call) etcdfake.Action {
				return etcdfake.Answer(answer)
			})
			k := newClient(t, fake.Listen()).Kubernetes
			got, err := k.Get(t.Context(), "k", kubernetes.GetOptions{})
			require.ErrorContains(t, err, "etcdclient: malformed response: ")
			require.Zero(t, got)
			list, err := k.List(t.Context(), "k", kubernetes.ListOptions{})
			require.ErrorContains(t, err, "etcdclient: malformed response: ")
			require.Zero(t, list)
		})
	}
}
