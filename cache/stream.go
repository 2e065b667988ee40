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
	// streamTries is how many streams of a list may fail one after another with fewer keys than a
	// page has. The rest is then read by pages.
	streamTries = 3
	// streamsAgain is for how long no stream is asked for after a server had none. Servers may have
	// been replaced by newer ones after that.
	streamsAgain = time.Hour
)

// mayStream reports whether the rest of the range may be read by a stream. With WithPageSize all of
// it is read by pages.
func (r *reader) mayStream() bool {
	if r.c.opts.paged || r.fruitless >= streamTries {
		return false
	}
	missing := r.c.asker.noStreams.Load()
	return missing == nil || time.Since(*missing) > streamsAgain
}

// streamRest reads what is behind a page by one stream after another, each from where the one
// before has failed. It returns the first key that it has not read, and whether there is one, which
// a page must then begin with.
func (r *reader) streamRest(from string, at *pb.ResponseHeader) (next string, more bool) {
	for more = true; more && r.mayStream(); at = nil {
		if at == nil {
			at = r.newestRevision(from)
		}
		if at == nil {
			break
		}
		from, more = r.stream(from, at)
	}
	return from, more
}

// stream reads the keys from the key from to the end of the range by one request, at the revision
// of a linearizable answer, and delivers each piece as a page. Only the last piece has a header, so
// the revision of a piece is known because it was asked for. stream returns the first key that it
// has not read, and whether there is one. Then it does not matter why: the next linearizable answer
// shows whether the cluster is still the one it was.
func (r *reader) stream(from string, at *pb.ResponseHeader) (next string, more bool) {
	ctx, cancel := context.WithCancel(streamonly.Context(r.ctx))
	defer cancel() // ends the stream
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

// newestRevision returns the header of a linearizable answer, for the stream that goes on where
// another one has failed. It reads one key, which is cheaper than a page: for a page a server
// counts the keys to the end of the range. It returns nil if that fails. Then a page is read, which
// is tried again as often as it takes, and shows what is wrong.
func (r *reader) newestRevision(from string) *pb.ResponseHeader {
	ctx, cancel := context.WithTimeout(r.ctx, pageTimeout.Base)
	defer cancel()
	resp, err := r.linearizable(r.c.get(ctx, from, clientv3.WithCountOnly()))
	if err != nil {
		return nil
	}
	return resp.Header
}

// receive returns the next piece of a stream, io.EOF after the last one, or why there is none. A
// stream without a piece for pageTimeout is given up.
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

// streamFailed notes why a stream ended before the key from.
func (r *reader) streamFailed(from string, err error) {
	switch status.Code(err) {
	case codes.Unimplemented:
		now := time.Now()
		r.c.asker.noStreams.Store(&now)
	case codes.ResourceExhausted: // a piece has more bytes than the client may receive
		r.fruitless = streamTries
	}
	r.c.wait("keys from %q on to be read after: %v", from, err)
}
