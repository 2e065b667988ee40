package cache

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/streamonly"
)

const (
	// streamTries is how many streams in a row may fail with fewer keys than a page has. After
	// that, the rest of the range is read by pages.
	streamTries = 3
	// streamsAgain is for how long no stream is tried after a server did not have the RangeStream
	// method. After that time, the servers may have been replaced by newer ones.
	streamsAgain = time.Hour
)

// mayStream reports whether to read the rest of the range by a stream. It returns false in these
// cases:
//
//   - the option WithPageSize is set
//   - several streams in a row have brought fewer keys than a page has
//   - a server without the RangeStream method was found less than an hour ago
func (r *reader) mayStream() bool {
	if r.c.opts.paged || r.fruitless >= streamTries {
		return false
	}
	missing := r.c.asker.noStreams.Load()
	return missing == nil || time.Since(*missing) > streamsAgain
}

// streamRest reads the rest of the range by streams, starting at the key in from. at is the header
// of the page that was read before. Each stream starts with the key at which the previous one
// failed. If more is true, the caller must go on with a page that begins at the key in next.
func (r *reader) streamRest(from string, at *pb.ResponseHeader) (next string, more bool) {
	for more = true; more && r.mayStream(); at = nil {
		if at == nil {
			at = r.newestRevision()
		}
		if at == nil {
			break
		}
		from, more = r.stream(from, at)
	}
	return from, more
}

// stream reads the rest of the range by one request, starting at the key in from. It delivers each
// piece of the answer as a page. at is the header of a linearizable answer, and the request reads
// at the revision of that header. Only the last piece has a header, so only the request tells the
// revision of the other pieces.
//
// If more is true, the stream has ended early, and next is the first key that was not read. The
// caller need not know the reason: its next linearizable read finds out if the cluster was replaced
// or restored.
func (r *reader) stream(from string, at *pb.ResponseHeader) (next string, more bool) {
	ctx, cancel := context.WithCancel(streamonly.Context(r.ctx))
	defer cancel() // cancels the request if the stream has not ended by itself
	r.fruitless++
	pieces, err := r.c.client.GetStream(ctx, from, r.options(clientv3.WithRev(at.Revision))...)
	keys := 0
	for last := (*pb.ResponseHeader)(nil); err == nil; {
		var piece *pb.RangeResponse
		piece, err = r.receive(pieces)
		if errors.Is(err, io.EOF) && last != nil {
			r.deliver(answer{header: last, revision: at.Revision})
			return from, false
		}
		if !piece.GetMore() {
			last = piece.GetHeader()
		}
		if kvs := piece.GetKvs(); len(kvs) > 0 {
			a := answer{kvs: kvs, header: at, revision: at.Revision, more: true}
			from = a.next()
			if keys += len(kvs); keys >= r.size {
				r.fruitless = 0
			}
			if !r.deliver(a) {
				return from, true
			}
		}
	}
	r.streamFailed(from, err)
	return from, true
}

// newestRevision returns the header of a linearizable answer. After a stream has failed, the next
// stream reads at the revision of this header. A page would cost more than this read, because the
// server would count all keys to the end of the range.
//
// If the read fails, or the answer has a lower revision than an earlier one, newestRevision returns
// nil. The caller then reads a page, which finds out what is wrong.
func (r *reader) newestRevision() *pb.ResponseHeader {
	header, err := r.c.count(r.ctx, pageTimeout.Base)
	if err != nil || header.Revision < r.least {
		return nil
	}
	r.least = header.Revision
	return header
}

// receive returns the next piece of a stream. It returns io.EOF after the last piece, or the error
// with which the stream failed. If no piece comes within pageTimeout.Base, it returns
// context.DeadlineExceeded.
func (r *reader) receive(pieces clientv3.GetStreamChan) (*pb.RangeResponse, error) {
	timer := time.NewTimer(pageTimeout.Base)
	defer timer.Stop()
	select {
	case piece, ok := <-pieces:
		if !ok {
			return nil, io.EOF
		}
		return piece.RangeResponse, piece.Err()
	case <-timer.C:
		return nil, context.DeadlineExceeded
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

// streamFailed records why a stream ended before the end of the range. from is the first key that
// was not read.
//
// If the server has no RangeStream method, no stream is tried for an hour (see streamsAgain). If
// one message of the stream had more bytes than the client may receive, the rest of this list (read
// of the whole range) is read by pages.
func (r *reader) streamFailed(from string, err error) {
	switch status.Code(err) {
	case codes.Unimplemented:
		now := time.Now()
		r.c.asker.noStreams.Store(&now)
	case codes.ResourceExhausted:
		r.fruitless = streamTries
	}
	r.c.wait("keys from %q on to be read after: %v", from, err)
}
