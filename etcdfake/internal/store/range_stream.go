package store

import (
	"bytes"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// RangeStream answers a range in chunks. It calls send with each chunk as soon as the chunk is
// read. All chunks are read at the same revision. If this revision is compacted between two chunks,
// the stream ends with ErrGRPCCompacted, as in etcd.
func (s *Store) RangeStream(
	c Caller, req *pb.RangeRequest, send func(*pb.RangeStreamResponse) error,
) error {
	if err := checkRangeRequest(req); err != nil {
		return err
	}
	if !defaultOrder(req.SortTarget, req.SortOrder) {
		return status.Error(codes.Unimplemented, "RangeStream does not support custom sort orders")
	}
	if filtersRevisions(req) {
		return status.Error(codes.Unimplemented, "RangeStream does not support revision filters")
	}
	stream := &rangeStream{s: s, caller: c, req: proto.Clone(req).(*pb.RangeRequest)}
	if err := stream.admit(); err != nil {
		return err
	}
	for !stream.done {
		chunk, err := stream.next()
		if err != nil {
			return err
		}
		if err := send(&pb.RangeStreamResponse{RangeResponse: chunk}); err != nil {
			return err
		}
	}
	return nil
}

// rangeStream splits a range into chunks as etcd does. The first chunk has at most 10 keys. After
// that, the limit depends on the size of the chunk before. Only the last chunk has the header and
// the count.
type rangeStream struct {
	s      *Store
	caller Caller
	req    *pb.RangeRequest // the request for the next chunk
	rev    int64            // the newest revision that the caller could see when the stream began
	total  int64            // how many keys the stream may send at most
	count  int64            // how many keys have been read so far
	done   bool             // true when the last chunk has been read
}

// admit checks that the caller may read the range, and decides at which revision the stream reads.
func (r *rangeStream) admit() (err error) {
	r.s.enter()
	defer r.s.leave()
	if r.rev, err = r.s.admitRange(r.caller, r.req); err != nil {
		return err
	}
	if r.total = r.req.Limit; r.total == 0 {
		r.total = math.MaxInt64
	}
	if r.req.Revision == 0 {
		r.req.Revision = r.rev
	}
	if !r.req.CountOnly {
		r.req.Limit = min(10, r.total)
	}
	return nil
}

// next reads the next chunk.
func (r *rangeStream) next() (*pb.RangeResponse, error) {
	r.s.enter()
	defer r.s.leave()
	resp, err := r.s.kv.answerRange(r.req, r.rev, false)
	if err != nil {
		return nil, err
	}
	r.count += int64(len(resp.Kvs))
	chunk := &pb.RangeResponse{Kvs: resp.Kvs}
	if resp.More {
		r.req.Key = append(bytes.Clone(resp.Kvs[len(resp.Kvs)-1].Key), 0)
	}
	if r.done = !resp.More || r.count == r.total; !r.done {
		r.req.Limit = min(nextChunk(r.req.Limit, proto.Size(resp)), r.total-r.count)
		return chunk, nil
	}
	chunk.Header, chunk.More, chunk.Count = r.s.headerAt(r.caller, r.rev), resp.More, r.count
	switch {
	case r.req.CountOnly:
		chunk.Count = resp.Count
	case resp.More:
		chunk.Count += int64(len(r.s.kv.find(r.req.Key, r.req.RangeEnd, r.req.Revision)))
	}
	return chunk, nil
}

func nextChunk(limit int64, size int) int64 {
	switch {
	case size < maxRequestBytes/2:
		limit *= 2
	case size > maxRequestBytes*2:
		limit /= 2
	}
	return max(limit, 1)
}
