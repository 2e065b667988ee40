package fake_test

import (
	"context"
	"reflect"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// watchPair is two watch streams: one on the real server and one on the fake.
type watchPair struct {
	p          *pair
	cancel     func()
	real, fake *recorder
	next       int64 // the id of the next watch
	behind     bool  // a watch on these streams has a StartRevision
}

func newWatchPair(p *pair) *watchPair {
	w := &watchPair{p: p, next: 1}
	w.open("")
	p.t.Cleanup(func() { w.cancel() })
	return w
}

// open opens new streams as the user, one on each server. It closes the previous streams.
func (w *watchPair) open(user string) {
	if w.cancel != nil {
		w.cancel()
	}
	w.behind = false
	forReal, forFake, cancelCalls := w.p.contexts(user)
	cancelCalls()
	realCtx, cancelReal := context.WithCancel(context.WithoutCancel(forReal))
	fakeCtx, cancelFake := context.WithCancel(context.WithoutCancel(forFake))
	realStream, err := pb.NewWatchClient(w.p.real).Watch(realCtx)
	require.NoError(w.p.t, err)
	fakeStream, err := pb.NewWatchClient(w.p.fake).Watch(fakeCtx)
	require.NoError(w.p.t, err)
	w.real, w.fake = newRecorder(realStream, w.p.dict), newRecorder(fakeStream, nil)
	w.real.done.Go(w.real.receive)
	w.fake.done.Go(w.fake.receive)
	real, fake := w.real, w.fake
	w.cancel = func() {
		cancelReal()
		cancelFake()
		real.done.Wait()
		fake.done.Wait()
	}
}

// send sends a request to both streams.
func (w *watchPair) send(req *pb.WatchRequest) {
	w.p.t.Helper()
	require.NoError(w.p.t, w.real.stream.Send(w.p.dict.toReal(req).(*pb.WatchRequest)))
	require.NoError(w.p.t, w.fake.stream.Send(proto.Clone(req).(*pb.WatchRequest)))
}

func (w *watchPair) create(req *pb.WatchCreateRequest) {
	w.p.t.Helper()
	w.real.ask()
	w.fake.ask()
	w.behind = w.behind || req.StartRevision > 0
	w.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: req}})
}

// progress sends a progress request on both streams. The real server ignores such requests while a
// watcher catches up. So if the fake answers, progress repeats the request to the real server until
// it answers too.
func (w *watchPair) progress() {
	w.p.t.Helper()
	req := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
		ProgressRequest: &pb.WatchProgressRequest{}}}
	w.send(req)
	w.mark()
	want := w.fake.copy().progress
	for deadline := time.Now().Add(patience); len(w.real.copy().progress) < len(want); {
		require.True(w.p.t, time.Now().Before(deadline), "%s: no progress notice", w.p.about)
		require.NoError(w.p.t, w.real.stream.Send(req))
		time.Sleep(20 * time.Millisecond)
	}
	w.mark()
}

// mark creates a watch on both streams and waits until both servers have answered this create and
// all creates before it.
func (w *watchPair) mark() {
	w.p.t.Helper()
	w.next++
	w.create(&pb.WatchCreateRequest{Key: []byte("~"), WatchId: w.next})
	w.settleUntil(func() bool { return w.fake.answered() && w.real.answered() })
}

func (w *watchPair) settleUntil(done func() bool) {
	w.p.t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		require.True(w.p.t, time.Now().Before(deadline), "%s: no answer to a watch", w.p.about)
		time.Sleep(200 * time.Microsecond)
	}
}

// same waits until the fake has nothing more to send and the real server's stream has received as
// much as the fake's.
func (w *watchPair) same() {
	w.p.t.Helper()
	w.flushFake()
	deadline := time.Now().Add(patience)
	for {
		want, got := w.real.copy(), w.fake.copy()
		if w.real.answered() && reflect.DeepEqual(want, got) {
			return
		}
		if time.Now().After(deadline) {
			require.Equal(w.p.t, want, got, w.p.about)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// flushFake waits until the fake's stream has received every response that the fake has queued for
// it. For this it sends a create that the fake refuses: the fake sends the refusal after all queued
// responses.
func (w *watchPair) flushFake() {
	w.p.t.Helper()
	w.fake.askUnrecorded()
	refused := &pb.WatchCreateRequest{StartRevision: -1}
	require.NoError(w.p.t, w.fake.stream.Send(&pb.WatchRequest{
		RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: refused}}))
	w.settleUntil(w.fake.answered)
}
