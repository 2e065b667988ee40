package watch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
)

// watchScript is a server in the same process that a Watcher uses. The test decides what the server
// sends. For each stream that the Watcher opens, the test gets a watchSession to send with.
type watchScript struct {
	t        *testing.T
	pipes    *pipes.Watch
	sessions chan *watchSession
}

// newWatchScript returns a scripted server and a Watcher that uses it. Both are closed when the
// test ends.
func newWatchScript(t *testing.T) (*watchScript, clientv3.Watcher) {
	s := &watchScript{t: t, sessions: make(chan *watchSession, 1000)}
	s.pipes = pipes.NewWatch(s.serve)
	w := clientv3.NewWatchFromWatchClient(s.pipes, nil)
	t.Cleanup(func() {
		assert.NoError(t, w.Close())
		s.pipes.Close()
	})
	return s, w
}

// watchSession is the server's side of one stream.
type watchSession struct {
	t    *testing.T
	ctx  context.Context
	reqs chan *pb.WatchRequest // what the client sent
	send func(*pb.WatchResponse) error
	over chan error // an error that is sent here ends the stream
}

func (s *watchScript) serve(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	ss := &watchSession{t: s.t, ctx: ctx, reqs: make(chan *pb.WatchRequest, 100_000), send: send,
		over: make(chan error, 1)}
	received := make(chan struct{})
	go func() { // ends with the stream
		defer close(received)
		for {
			req, err := recv()
			if err != nil {
				close(ss.reqs)
				return
			}
			ss.reqs <- req
		}
	}()
	s.sessions <- ss
	var err error
	select {
	case err = <-ss.over:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && ctx.Err() == nil {
		return err // the stream ends when serve returns, so received is closed only after that
	}
	<-received
	return err
}

// session waits for the next stream.
func (s *watchScript) session() *watchSession {
	s.t.Helper()
	select {
	case ss := <-s.sessions:
		return ss
	case <-time.After(patience):
		require.Fail(s.t, "no stream")
		panic("unreachable")
	}
}

// request waits for the next request.
func (ss *watchSession) request() *pb.WatchRequest {
	ss.t.Helper()
	select {
	case req, ok := <-ss.reqs:
		require.True(ss.t, ok, "the stream ended")
		return req
	case <-time.After(patience):
		require.Fail(ss.t, "no request")
		panic("unreachable")
	}
}

// create waits for a create request.
func (ss *watchSession) create() *pb.WatchCreateRequest {
	ss.t.Helper()
	req := ss.request()
	require.NotNil(ss.t, req.GetCreateRequest(), "%v", req)
	return req.GetCreateRequest()
}

// createFrom waits for a create request of the key from the revision.
func (ss *watchSession) createFrom(key string, rev int64) {
	ss.t.Helper()
	req := ss.create()
	require.Equal(ss.t, fmt.Sprintf("%s from %d", key, rev),
		fmt.Sprintf("%s from %d", req.Key, req.StartRevision))
}

// cancelled waits for a cancel request, and returns its watch id.
func (ss *watchSession) cancelled() int64 {
	ss.t.Helper()
	req := ss.request()
	require.NotNil(ss.t, req.GetCancelRequest(), "%v", req)
	return req.GetCancelRequest().WatchId
}

// respond sends a response. On a stream that is over it does nothing.
func (ss *watchSession) respond(resp *pb.WatchResponse) { _ = ss.send(resp) }

// created confirms a watch at a revision.
func (ss *watchSession) created(id, rev int64) {
	ss.respond(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: rev}, WatchId: id,
		Created: true})
}

// refused answers a create request with a refusal.
func (ss *watchSession) refused(id int64, reason string) {
	ss.respond(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1}, WatchId: id,
		Created: true, Canceled: true, CancelReason: reason})
}

// progress sends a progress notice.
func (ss *watchSession) progress(id, rev int64) {
	ss.respond(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: rev}, WatchId: id})
}

// events sends one response with a put at each of the revisions.
func (ss *watchSession) events(id int64, revs ...int64) { ss.respond(eventsResponse(id, revs...)) }

func eventsResponse(id int64, revs ...int64) *pb.WatchResponse {
	resp := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: revs[len(revs)-1]}, WatchId: id}
	for _, rev := range revs {
		kv := &mvccpb.KeyValue{Key: []byte("k"), Value: fmt.Appendf(nil, "v%d", rev),
			ModRevision: rev}
		resp.Events = append(resp.Events, &mvccpb.Event{Kv: kv})
	}
	return resp
}

// end ends the stream with err.
func (ss *watchSession) end(err error) { ss.over <- err }

// watchAsync calls Watch on another goroutine. It returns a function that waits until Watch returns
// its channel.
func watchAsync(
	ctx context.Context, w clientv3.Watcher, key string, opts ...clientv3.OpOption,
) func() clientv3.WatchChan {
	got := make(chan clientv3.WatchChan, 1)
	go func() { got <- w.Watch(ctx, key, opts...) }() // ends when Watch returns
	return func() clientv3.WatchChan { return <-got }
}

// watch calls Watch for the key and waits until the Watcher opens a new stream. Then it confirms
// the watch at revision 1 with the given watch id.
func (s *watchScript) watch(
	ctx context.Context, w clientv3.Watcher, key string, id int64, opts ...clientv3.OpOption,
) (*watchSession, clientv3.WatchChan) {
	s.t.Helper()
	open := watchAsync(ctx, w, key, opts...)
	ss := s.session()
	ss.createFrom(key, 0)
	ss.created(id, 1)
	return ss, open()
}

// watch calls Watch for the key. It expects the create request on the stream of ss, and confirms
// the watch as [watchScript.watch] does.
func (ss *watchSession) watch(
	ctx context.Context, w clientv3.Watcher, key string, id int64, opts ...clientv3.OpOption,
) clientv3.WatchChan {
	ss.t.Helper()
	open := watchAsync(ctx, w, key, opts...)
	ss.createFrom(key, 0)
	ss.created(id, 1)
	return open()
}

// requireRevisions receives one response and requires that its events have these revisions.
func requireRevisions(tb testing.TB, ch clientv3.WatchChan, want ...int64) {
	tb.Helper()
	wr := nextResponse(tb, ch)
	require.NoError(tb, wr.Err())
	require.Equal(tb, want, revisions(wr))
}

func revisions(wr clientv3.WatchResponse) (revs []int64) {
	for _, e := range wr.Events {
		revs = append(revs, e.Kv.ModRevision)
	}
	return revs
}

// requireLast receives the watch's last response, requires that ch is then closed, and returns the
// response.
func requireLast(tb testing.TB, ch clientv3.WatchChan) clientv3.WatchResponse {
	tb.Helper()
	wr := nextResponse(tb, ch)
	require.True(tb, wr.Canceled)
	require.Error(tb, wr.Err())
	requireClosed(tb, ch)
	return wr
}
