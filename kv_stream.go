package clientv3

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// RangeStreamResponse is one piece of the answer to [KV.GetStream]. If Err is not nil, its fields
// are zero.
type RangeStreamResponse struct {
	*pb.RangeResponse
	err error
}

// Err returns why the answer ends here and is incomplete, or nil.
func (r *RangeStreamResponse) Err() error { return r.err }

// GetStreamChan delivers the pieces of the answer to [KV.GetStream]. It is closed after the last
// one.
type GetStreamChan <-chan RangeStreamResponse

// GetStreamToGetResponse reads stream to its end. It returns what [KV.Get] would have returned, or
// the error that the stream ended with. It blocks until then, so it ends with the context of the
// GetStream call at the latest.
func GetStreamToGetResponse(stream GetStreamChan) (*GetResponse, error) {
	whole := &GetResponse{}
	for piece := range stream {
		if piece.err != nil {
			return nil, piece.err
		}
		whole.Kvs = append(whole.Kvs, piece.GetKvs()...)
		whole.More = whole.More || piece.GetMore()
		whole.Count = max(whole.Count, piece.GetCount())
		if header := piece.GetHeader(); header != nil {
			whole.Header = header
		}
	}
	return whole, nil
}

func (kv *kv) GetStream(ctx context.Context, key string, opts ...OpOption) (GetStreamChan, error) {
	return kv.GetStreamRewritten(ctx, nil, key, opts...)
}

// GetStreamRewritten is GetStream with a function that may read and change each piece before it is
// delivered. The decorators of this module find GetStreamRewritten by a type assertion; with it
// they need no goroutine that copies one channel into another.
func (kv *kv) GetStreamRewritten(
	ctx context.Context, rewrite func(*pb.RangeResponse), key string, opts ...OpOption,
) (GetStreamChan, error) {
	s := &getStream{
		op:      OpGet(key, opts...),
		remote:  kv.remote,
		paging:  kv.paging,
		maxPage: maxPageBytes,
		rewrite: rewrite,
		pieces:  make(chan RangeStreamResponse, 1),
	}
	if err := s.op.sort.check(); err != nil {
		return nil, err
	}
	if kv.client.made() {
		s.members = kv.client.table
		if limit := kv.client.cfg.MaxCallRecvMsgSize; limit > 0 && limit < defaultMaxRecvBytes {
			s.limited, s.maxPage = true, min(limit/2, maxPageBytes)
		}
	}
	s.ctx, s.stop = join(ctx, kv.client.Ctx())
	if err := kv.start(s); err != nil {
		err = toErr(s.ctx, err)
		s.stop()
		return nil, err
	}
	return s.pieces, nil
}

// start sends the request and starts the goroutine that delivers the answer.
func (kv *kv) start(s *getStream) error {
	if err := s.open(); err != nil {
		return err
	}
	if kv.client.made() {
		if !kv.client.inBackground(s.run) {
			return errClosing
		}
		return nil
	}
	// Ends with the context of the call, or after the last piece. Without a client only the reader
	// of the pieces waits for it.
	go s.run()
	return nil
}

// getStream copies one range from the server to its reader, a piece at a time.
type getStream struct {
	// read-only after open
	op      Op
	remote  pb.KVClient
	paging  bool                    // as in kv
	limited bool                    // responses have a limit that servers do not know
	maxPage int                     // bytes of a page that is neither small nor large
	members *balancer.Tracker       // may be nil
	rewrite func(*pb.RangeResponse) // nil: pieces are delivered as they come
	stream  pb.KV_RangeStreamClient // nil: the range is read by unary requests
	ctx     context.Context         // the caller's, which also ends with the client
	stop    context.CancelFunc      // ends ctx

	// Only run sends and closes. It has room for one, so that run can leave an error without a
	// reader.
	pieces chan RangeStreamResponse
}

// open starts the stream. It starts none for a range that servers do not stream, or if a server
// could send a piece over the limit of the client.
func (s *getStream) open() error {
	if s.paging && (s.limited || !s.divisible()) {
		return nil
	}
	stream, err := s.remote.RangeStream(s.ctx, s.op.rangeRequest())
	if s.paging && classify.IsUnimplemented(err) {
		return nil
	}
	s.stream = stream
	return err
}

// divisible reports whether the range can be read by pages. Servers compute a range that is sorted
// or bounded by revisions as a whole, each time they are asked for a part of it.
func (s *getStream) divisible() bool {
	return s.op.sort == SortOption{} &&
		s.op.minModRev == 0 && s.op.maxModRev == 0 &&
		s.op.minCreateRev == 0 && s.op.maxCreateRev == 0
}

func (s *getStream) run() {
	defer close(s.pieces)
	defer s.stop()
	if err := s.copyRange(); err != nil {
		s.fail(toErr(s.ctx, err))
	}
}

// copyRange chooses how to read the range. Only the first answer of a server shows that it does not
// stream.
func (s *getStream) copyRange() error {
	if s.stream != nil {
		first, err := s.receive()
		if !s.paging || !classify.IsUnimplemented(err) {
			return s.copyStream(first, err)
		}
	}
	if s.divisible() && !s.op.countOnly && len(s.op.end) > 0 {
		return s.copyPages()
	}
	whole, err := s.remote.Range(s.ctx, s.op.rangeRequest())
	if err != nil {
		return err
	}
	return s.send(whole)
}

// streamPatience is how long a piece may take before the members are probed.
const streamPatience = 500 * time.Millisecond

// receive waits for the next piece. The members are probed if it takes long, because the balancer
// does not notice that a stream has no answer.
func (s *getStream) receive() (*pb.RangeStreamResponse, error) {
	defer time.AfterFunc(streamPatience, s.members.ProbeAll).Stop()
	return s.stream.Recv()
}

// copyStream delivers the stream. msg and err are the result of its first Recv.
func (s *getStream) copyStream(msg *pb.RangeStreamResponse, err error) error {
	for err == nil {
		if err = s.send(msg.GetRangeResponse()); err != nil {
			return err
		}
		msg, err = s.receive()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// copyPages reads the range by requests with a limit, all at the revision of the first.
func (s *getStream) copyPages() error {
	op, left := s.op, s.op.limit
	if left <= 0 {
		left = math.MaxInt64
	}
	var final *pb.RangeResponse // the last piece, with what only the first page knows
	for size := int64(firstPageKeys); ; {
		page, err := s.readPage(&op, &size, left, final != nil)
		if err != nil {
			return err
		}
		if final == nil {
			final = &pb.RangeResponse{Header: page.GetHeader(), Count: page.GetCount()}
			if op.rev <= 0 {
				op.rev = page.GetHeader().GetRevision()
			}
		}
		kvs := page.GetKvs()
		left -= int64(len(kvs))
		if !page.GetMore() || left <= 0 || len(kvs) == 0 {
			final.Kvs, final.More = kvs, page.GetMore()
			return s.send(final)
		}
		op.key = append(slices.Clip(kvs[len(kvs)-1].GetKey()), 0) // the next key there can be
		size = nextPageSize(size, proto.Size(page), s.maxPage)
		if err := s.send(&pb.RangeResponse{Kvs: kvs}); err != nil { // which gives kvs away
			return err
		}
	}
}

// readPage reads a page of at most size keys, and at most left. It asks for half as many keys again
// if the page is over the limit on messages. At a pinned revision, a serializable read may reach a
// member that has not got to the revision yet; then the rest of the range is read linearizably.
func (s *getStream) readPage(
	op *Op, size *int64, left int64, pinned bool,
) (*pb.RangeResponse, error) {
	for {
		op.limit = min(*size, left)
		page, err := s.remote.Range(s.ctx, op.rangeRequest())
		switch {
		case err == nil:
			return page, nil
		case classify.IsMessageTooLarge(err) && op.limit > 1:
			*size = op.limit / 2
		case pinned && op.serializable && errors.Is(toErr(s.ctx, err), rpctypes.ErrFutureRev):
			op.serializable = false
		default:
			return nil, err
		}
	}
}

// A page is in memory as a whole, and values may be of any size. So pages start small and grow as
// long as they are small in bytes.
const (
	firstPageKeys = 16
	maxPageKeys   = 1024
	maxPageBytes  = 1 << 20
)

func nextPageSize(keys int64, bytes, most int) int64 {
	switch {
	case bytes < most/4:
		return min(4*keys, maxPageKeys)
	case bytes > 2*most:
		return max(keys/2, 1)
	default:
		return keys
	}
}

// send delivers a piece to the reader. It returns the error of the context if that ends first.
func (s *getStream) send(piece *pb.RangeResponse) error {
	if piece == nil {
		piece = &pb.RangeResponse{}
	}
	if s.rewrite != nil {
		s.rewrite(piece)
	}
	select {
	case s.pieces <- RangeStreamResponse{RangeResponse: piece}:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// fail makes err the last response. Once the context has ended the reader may be gone. It may also
// read later, and must not take the closed channel for a complete answer. So err replaces a piece
// that has not been read.
func (s *getStream) fail(err error) {
	last := RangeStreamResponse{RangeResponse: &pb.RangeResponse{}, err: err}
	select {
	case s.pieces <- last:
		return
	case <-s.ctx.Done():
	}
	select {
	case <-s.pieces:
	default:
	}
	select {
	case s.pieces <- last:
	default: // cannot happen: run is the only sender, so there is room now
	}
}
