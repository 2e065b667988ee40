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

	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/streamonly"
)

// RangeStreamResponse is one piece of the answer to [KV.GetStream]. If Err returns an error, the
// piece holds no keys and all fields of its RangeResponse are zero.
type RangeStreamResponse struct {
	*pb.RangeResponse
	err error
}

// Err returns nil, or the error that ended the answer early. If Err is not nil, this piece is the
// last one and the answer is incomplete.
func (r *RangeStreamResponse) Err() error { return r.err }

// GetStreamChan delivers the pieces of the answer to [KV.GetStream]. It is closed after the last
// piece.
type GetStreamChan <-chan RangeStreamResponse

// GetStreamToGetResponse reads stream to its end. It returns what [KV.Get] would have returned, or
// the error that the stream ended with. It blocks until the stream ends. To end the stream earlier,
// cancel the context of the GetStream call.
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

// GetStreamRewritten is GetStream with a function, rewrite, that may read and change each piece
// before the piece is delivered. Packages of this module that wrap a KV find this method by a type
// assertion. It saves them a goroutine that copies one channel into another.
func (kv *kv) GetStreamRewritten(
	ctx context.Context, rewrite func(*pb.RangeResponse), key string, opts ...OpOption,
) (GetStreamChan, error) {
	s := &getStream{
		op:      OpGet(key, opts...),
		remote:  kv.remote,
		paging:  kv.paging && !streamonly.Is(ctx),
		maxPage: maxPageBytes,
		rewrite: rewrite,
		pieces:  make(chan RangeStreamResponse, 1),
	}
	if err := s.op.sort.check(); err != nil {
		return nil, err
	}
	if kv.client.made() {
		s.members = kv.client.tracker
		if limit := kv.client.cfg.MaxCallRecvMsgSize; limit > 0 && limit < defaultMaxRecvBytes {
			s.limited, s.maxPage = true, min(limit/2, maxPageBytes)
		}
	}
	s.client = kv.client.Ctx()
	s.ctx, s.stop = await.Join(ctx, s.client)
	err := s.open()
	switch {
	case err != nil:
	case !kv.client.made():
		// run ends with the context of the call, or after the last piece. There is no client whose
		// Close could wait for run; only the reader of the pieces waits for it.
		go s.run()
	case !kv.client.inBackground(s.run):
		err = errClosing
	}
	if err != nil {
		err = toErr(s.ctx, err)
		s.stop()
		return nil, err
	}
	return s.pieces, nil
}

// getStream reads one range from the server and delivers it to the caller of GetStream, a piece at
// a time.
type getStream struct {
	// read-only after open
	op      Op
	remote  pb.KVClient
	paging  bool                    // Range may be called instead of RangeStream
	limited bool                    // responses have a size limit that servers do not know
	maxPage int                     // a Range request should return about this many bytes
	members *balancer.Tracker       // nil if there is no client or no connection
	rewrite func(*pb.RangeResponse) // nil: pieces are not changed
	stream  pb.KV_RangeStreamClient // nil: Range is called instead of RangeStream
	ctx     context.Context         // descends from the caller's context; also ends with the client
	stop    context.CancelFunc      // ends ctx
	client  context.Context         // ends when the client is closed, a moment before ctx ends

	// pieces is the channel that the caller reads. It has room for one piece, so that run can leave
	// an error even if the caller no longer reads. Only run sends on the channel and closes it.
	pieces chan RangeStreamResponse
}

// open calls RangeStream and sets s.stream. If s.stream stays nil, the range is read with Range
// instead. That happens only if s.paging is set, in three cases:
//
//   - A response of RangeStream could be larger than the client's limit.
//   - The server would send the whole range in one response.
//   - RangeStream is not implemented.
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

// divisible reports whether the range can be read by pages (several Range requests with a limit). A
// range that is sorted or bounded by revisions cannot: the server would compute the whole range for
// each page.
func (s *getStream) divisible() bool {
	return s.op.sort == SortOption{} &&
		s.op.minModRev == 0 && s.op.maxModRev == 0 &&
		s.op.minCreateRev == 0 && s.op.maxCreateRev == 0
}

// run delivers the range to the channel s.pieces, then the error if there is one, and closes the
// channel.
func (s *getStream) run() {
	defer close(s.pieces)
	defer s.stop()
	if err := s.copyRange(); err != nil {
		if s.client.Err() != nil {
			s.stop() // ends s.ctx, so that toErr returns the error of s.ctx, not gRPC's
		}
		s.fail(toErr(s.ctx, err))
	}
}

// copyRange reads the range and delivers it, in the first of these ways that is possible:
//
//   - from the stream. A server that cannot stream says so only in its first answer.
//   - by pages, which are the answers to several Range requests with a limit.
//   - by one Range request.
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

// pieceTimeout is how long receive waits for a piece before it makes the balancer check the health
// of the members.
const pieceTimeout = 500 * time.Millisecond

// receive returns the next piece of the stream. If the piece takes longer than pieceTimeout,
// receive makes the balancer check the health of the members. The balancer does not notice by
// itself that a stream gets no answer.
func (s *getStream) receive() (*pb.RangeStreamResponse, error) {
	defer time.AfterFunc(pieceTimeout, s.members.ProbeAll).Stop()
	return s.stream.Recv()
}

// copyStream delivers the pieces of the stream until the stream ends. msg and err are the results
// of the first call of receive.
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

// copyPages reads the range by pages: the answers to several Range requests with a limit. All pages
// are read at the revision of the first, and each is delivered as a piece.
func (s *getStream) copyPages() error {
	op, left := s.op, s.op.limit
	if left <= 0 {
		left = math.MaxInt64
	}
	var final *pb.RangeResponse // the last piece, with the Header and Count of the first page
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
		op.key = append(slices.Clip(kvs[len(kvs)-1].GetKey()), 0) // the lowest key after the page
		size = nextPageSize(size, proto.Size(page), s.maxPage)
		if err := s.send(&pb.RangeResponse{Kvs: kvs}); err != nil { // kvs now belongs to the reader
			return err
		}
	}
}

// readPage requests and returns a page, the next part of the range. It asks for *size keys, or left
// keys if that is less. If the page has more bytes than the client accepts, readPage halves the
// number of keys, stores it in *size and asks again.
//
// pinned means that op reads at the revision of the first page. If op is also serializable, the
// member that answers may not have reached that revision yet. Then readPage makes op linearizable
// for the rest of the range.
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

// Sizes of pages, the answers to Range requests with a limit. The first page has few keys, because
// a whole page is in memory and its values may be large. After a small page, the next page has more
// keys.
const (
	firstPageKeys = 16
	maxPageKeys   = 1024
	maxPageBytes  = 1 << 20
)

// nextPageSize returns how many keys the client asks for in the next page. The parameters keys and
// bytes describe the previous page: how many keys the client asked for, and the size of the answer.
// The parameter most is the size, in bytes, that a page should have.
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

// send delivers a piece to the reader. It returns the error of the context if the context ends
// first.
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

// fail delivers err as the last piece of the answer. If s.ctx has ended, there may be no reader any
// more, so fail does not wait. Instead, err replaces an unread piece in the channel. Without err, a
// late reader would take the closed channel for the end of a complete answer.
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
	s.pieces <- last // does not block: the channel is empty and has no other sender
}
