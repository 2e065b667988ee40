package canned

import (
	"bytes"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	valueSize   = 256
	maxRangeMiB = 512
)

func header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 0xcdf818194e3a8c32, MemberId: 0x8e9e05c52164694d,
		Revision: revision, RaftTerm: 7}
}

func putAnswer() *pb.PutResponse { return &pb.PutResponse{Header: header()} }

// txnAnswer answers a transaction whose compare holds and whose success branch is a put and a get.
func txnAnswer() *pb.TxnResponse {
	return &pb.TxnResponse{Header: header(), Succeeded: true, Responses: []*pb.ResponseOp{
		{Response: &pb.ResponseOp_ResponsePut{ResponsePut: putAnswer()}},
		{Response: &pb.ResponseOp_ResponseRange{ResponseRange: rangeAnswer("a key", 1, valueSize)}},
	}}
}

func statusAnswer() *pb.StatusResponse {
	return &pb.StatusResponse{Header: header(), Version: "3.7.3", StorageVersion: "3.7.0",
		Leader: header().MemberId, RaftIndex: 9, RaftTerm: 7, RaftAppliedIndex: 9}
}

func rangeAnswer(prefix string, n, size int) *pb.RangeResponse {
	answer := &pb.RangeResponse{Header: header(), Count: int64(n)}
	for i := range n {
		answer.Kvs = append(answer.Kvs, &mvccpb.KeyValue{Key: fmt.Appendf(nil, "%s%08d", prefix, i),
			CreateRevision: revision - int64(i), ModRevision: revision, Version: 3,
			Value: bytes.Repeat([]byte{byte('a' + i%26)}, size)})
	}
	return answer
}

// ranges has the answers to range requests. The answer for a key is made at the first request for
// the key.
type ranges struct {
	answers sync.Map // from key (string) to marshalled answer (frame)
}

func (r *ranges) answer(stream grpc.ServerStream) error {
	var req pb.RangeRequest
	if err := receive(stream, &req); err != nil {
		return err
	}
	answer, err := r.lookup(string(req.Key))
	if err != nil {
		return err
	}
	return stream.SendMsg(&answer)
}

func (r *ranges) lookup(key string) (frame, error) {
	n, size := 1, valueSize
	if _, err := fmt.Sscanf(key, "range/%d/%d/", &n, &size); err != nil {
		n, size, key = 1, valueSize, "a key of a usual length"
	}
	if known, ok := r.answers.Load(key); ok {
		return known.(frame), nil
	}
	if n < 0 || size < 0 || n > maxRangeMiB<<20/(size+64) {
		return nil, status.Errorf(codes.InvalidArgument, "%q asks for over %d MiB", key,
			maxRangeMiB)
	}
	answer := marshal(rangeAnswer(key, n, size))
	r.answers.Store(key, answer)
	return answer, nil
}
