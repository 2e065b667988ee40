package cache

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"go.etcd.io/etcd/client/v3/cache/internal/evaluate"
)

// memory is a pb.KVClient that answers requests from a cache instead of a server. A KV of package
// clientv3 is built on it. That KV turns options into requests, and gRPC statuses into errors.
type memory struct{ c *Cache }

// call is the record of one call to the KV that Cache.KV returns. It is stored in the context of
// the call, where the methods of the type memory read and set it.
type call struct {
	floor  floor // which view is new enough to answer a serializable read
	passed bool  // the cache cannot answer, so the server has to

	// For a GetStream: the view and the keys that its answer is made of.
	view *view
	keys evaluate.Keys
}

type callKey struct{}

// errPassed is the error that a method of the type memory returns if the server has to answer the
// call. The KV then asks the server, so no user sees this error.
var errPassed = errors.New("cache: the server has to answer")

// pass makes the server answer the call whose record ctx carries, and returns errPassed.
func pass(ctx context.Context) error {
	if call, ok := ctx.Value(callKey{}).(*call); ok {
		call.passed = true
	}
	return errPassed
}

// Range implements pb.KVClient.
func (m memory) Range(
	ctx context.Context, req *pb.RangeRequest, _ ...grpc.CallOption,
) (*pb.RangeResponse, error) {
	if !m.c.answersRange(req) {
		return nil, pass(ctx)
	}
	v, err := m.c.viewFor(ctx, req.Serializable)
	if err != nil {
		return nil, err
	}
	keys, ok := m.c.keysAt(v, req.Revision)
	if !ok {
		return nil, pass(ctx)
	}
	resp := evaluate.Range(keys, req)
	resp.Header = v.header()
	return resp, nil
}

// RangeStream implements pb.KVClient. It returns a stream of one message. The bytes of the
// message's keys and values are shared with the cache.
func (m memory) RangeStream(
	ctx context.Context, req *pb.RangeRequest, _ ...grpc.CallOption,
) (pb.KV_RangeStreamClient, error) {
	call, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return nil, errPassed
	}
	resp := evaluate.Range(call.keys, req)
	resp.Header = call.view.header()
	return &piece{ctx: ctx, resp: resp}, nil
}

// Txn implements pb.KVClient.
func (m memory) Txn(
	ctx context.Context, req *pb.TxnRequest, _ ...grpc.CallOption,
) (*pb.TxnResponse, error) {
	serializable, ok := m.c.answersTxn(req)
	if !ok {
		return nil, pass(ctx)
	}
	v, err := m.c.viewFor(ctx, serializable)
	if err != nil {
		return nil, err
	}
	resp := &pb.TxnResponse{Header: v.header()}
	resp.Succeeded = evaluate.Holds(evaluate.Keys{Tree: v.tree}, req.Compare)
	ops := req.Failure
	if resp.Succeeded {
		ops = req.Success
	}
	for _, op := range ops {
		keys, ok := m.c.keysAt(v, op.GetRequestRange().Revision)
		if !ok {
			return nil, pass(ctx)
		}
		part := evaluate.Range(keys, op.GetRequestRange())
		part.Header = &pb.ResponseHeader{Revision: v.revision}
		resp.Responses = append(resp.Responses,
			&pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: part}})
	}
	return resp, nil
}

// Put implements pb.KVClient.
func (m memory) Put(
	ctx context.Context, _ *pb.PutRequest, _ ...grpc.CallOption,
) (*pb.PutResponse, error) {
	return nil, pass(ctx)
}

// DeleteRange implements pb.KVClient.
func (m memory) DeleteRange(
	ctx context.Context, _ *pb.DeleteRangeRequest, _ ...grpc.CallOption,
) (*pb.DeleteRangeResponse, error) {
	return nil, pass(ctx)
}

// Compact implements pb.KVClient.
func (m memory) Compact(
	ctx context.Context, _ *pb.CompactionRequest, _ ...grpc.CallOption,
) (*pb.CompactionResponse, error) {
	return nil, pass(ctx)
}

// answersRange reports whether the cache has the data for a request. The request must ask for keys
// within the cache's range. If the cache has keys only, the request must need no values. The
// revision of the request is checked elsewhere: see keysAt.
func (c *Cache) answersRange(req *pb.RangeRequest) bool {
	if !c.opts.covers(string(req.Key), string(req.RangeEnd)) {
		return false
	}
	values := !req.CountOnly && (!req.KeysOnly || req.SortTarget == pb.RangeRequest_VALUE)
	return !values || !c.opts.keysOnly
}

// answersTxn reports as ok whether the cache can answer a transaction:
//
//   - it only reads, and only keys in the range of the cache
//   - it has no more operations than etcd accepts
//   - if the cache has keys only, it needs no value and no lease
//
// The revisions that the transaction asks for are checked elsewhere: see keysAt. If serializable is
// true, the answer may have data that is not the newest.
func (c *Cache) answersTxn(req *pb.TxnRequest) (serializable, ok bool) {
	readOnly, serializable := evaluate.ReadOnly(req)
	if !readOnly || max(len(req.Compare), len(req.Success), len(req.Failure)) > maxTxnOps {
		return false, false
	}
	for _, cmp := range req.Compare {
		if !c.opts.covers(string(cmp.Key), string(cmp.RangeEnd)) || c.opts.keysOnly &&
			(cmp.Target == pb.Compare_VALUE || cmp.Target == pb.Compare_LEASE) {
			return false, false
		}
	}
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		for _, op := range ops {
			if !c.answersRange(op.GetRequestRange()) {
				return false, false
			}
		}
	}
	return serializable && len(req.Success)+len(req.Failure) > 0, true
}

// covers reports whether the range of a request lies within the range of the cache. A range that
// ends before it begins has no keys; it counts as covered if its first key is in the range of the
// cache.
func (o *options) covers(key, end string) bool {
	switch {
	case !o.contains(key):
		return false
	case end == "":
		return true
	case end == "\x00":
		return o.end == "\x00"
	default:
		return end <= key || o.end == "\x00" || end <= o.end
	}
}

// keysAt returns the state of the cache's range at the revision rev. A rev of 0 means the revision
// of the view v. keysAt returns false if the history does not go back to rev, or if the cache has
// not reached rev.
func (c *Cache) keysAt(v *view, rev int64) (evaluate.Keys, bool) {
	keys := evaluate.Keys{Tree: v.tree}
	switch {
	case rev == 0 || rev == v.revision:
		return keys, true
	case rev < 0 || rev > v.logged:
		return keys, false
	}
	at := c.history.before(rev + 1)
	// In another era (before or after a restore of the cluster), this revision number belongs to
	// another state.
	if at == nil || at.era != v.era {
		return keys, false
	}
	keys.Past = map[string]*mvccpb.KeyValue{}
	for {
		next, behind := at.following()
		if behind {
			return keys, false
		}
		if next == nil || next.first > v.revision {
			return keys, true
		}
		for _, ch := range next.changes {
			if _, known := keys.Past[ch.Key]; !known && ch.revision > rev {
				keys.Past[ch.Key] = ch.Old
			}
		}
		at = next
	}
}

// header returns the header of an answer that is made from the view.
func (v *view) header() *pb.ResponseHeader { return v.origin.header(v.revision) }

// piece is the client's end of a stream that has one message.
type piece struct {
	ctx  context.Context
	resp *pb.RangeResponse // the message; nil once it was received
}

// Recv implements grpc.ServerStreamingClient.
func (p *piece) Recv() (*pb.RangeStreamResponse, error) {
	if p.resp == nil {
		return nil, io.EOF
	}
	msg := &pb.RangeStreamResponse{RangeResponse: p.resp}
	p.resp = nil
	return msg, nil
}

// Header implements grpc.ClientStream.
func (p *piece) Header() (metadata.MD, error) { return nil, nil }

// Trailer implements grpc.ClientStream.
func (p *piece) Trailer() metadata.MD { return nil }

// CloseSend implements grpc.ClientStream.
func (p *piece) CloseSend() error { return nil }

// Context implements grpc.ClientStream.
func (p *piece) Context() context.Context { return p.ctx }

// SendMsg implements grpc.ClientStream. SendMsg returns io.EOF, because a client has nothing to
// send.
func (p *piece) SendMsg(any) error { return io.EOF }

// RecvMsg implements grpc.ClientStream. RecvMsg returns io.EOF, because only Recv receives the
// message.
func (p *piece) RecvMsg(any) error { return io.EOF }
