package fake_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// watchPair is a watch stream on each server. What a watcher receives is compared event by event:
// a watcher that catches up gets its events in batches that depend on the moment.
type watchPair struct {
	p          *pair
	cancel     func()
	real, fake *recorder
	next       int64 // the id of the next watch
	behind     bool  // one of the watches has started in the past
}

// recorder keeps what one stream has received, by watcher.
type recorder struct {
	stream pb.Watch_WatchClient
	dict   *dictionary // nil for the fake
	done   sync.WaitGroup

	mu       sync.Mutex
	got      map[int64][]string
	progress int // how many progress notices came that were asked for
	created  int // how many creates were answered
	asked    int // how many creates were sent
}

func (r *recorder) answers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress
}

// received reports whether all creates were answered.
func (r *recorder) received() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.created == r.asked
}

func (r *recorder) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
}

func newWatchPair(p *pair) *watchPair {
	w := &watchPair{p: p, next: 1}
	w.open("")
	p.t.Cleanup(func() { w.cancel() })
	return w
}

// open opens both streams as a user, and closes those before.
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
	w.real = &recorder{stream: realStream, dict: w.p.dict, got: make(map[int64][]string)}
	w.fake = &recorder{stream: fakeStream, got: make(map[int64][]string)}
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

func (r *recorder) receive() {
	for {
		resp, err := r.stream.Recv()
		if err != nil {
			return
		}
		var msg proto.Message = resp
		if r.dict != nil {
			msg = r.dict.toFake(resp)
		}
		normalise(msg.ProtoReflect())
		r.record(msg.(*pb.WatchResponse))
	}
}

func (r *recorder) record(resp *pb.WatchResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.got[resp.WatchId]
	if resp.Created {
		r.created++
	}
	if resp.WatchId == -1 && !resp.Created {
		r.progress++
		if len(lines) > 0 && lines[len(lines)-1] == deterministic(resp) {
			return // the real server may have been asked more often
		}
	}
	for _, ev := range resp.Events {
		lines = append(lines, fmt.Sprintf("%v %v %v", ev.Type, deterministic(ev.Kv),
			deterministic(ev.PrevKv)))
	}
	if len(resp.Events) == 0 {
		lines = append(lines, deterministic(resp))
	}
	r.got[resp.WatchId] = lines
}

func deterministic(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q", b)
}

func (r *recorder) copy() map[int64][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[int64][]string, len(r.got))
	for id, lines := range r.got {
		all[id] = append([]string(nil), lines...)
	}
	return all
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

// progress asks both streams. The real one overlooks what it is asked while a watcher catches up,
// so it is asked until it answers if the fake does.
func (w *watchPair) progress() {
	w.p.t.Helper()
	req := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
		ProgressRequest: &pb.WatchProgressRequest{}}}
	realBefore, fakeBefore := w.real.answers(), w.fake.answers()
	w.send(req)
	w.mark()
	if w.fake.answers() == fakeBefore {
		return
	}
	for deadline := time.Now().Add(patience); w.real.answers() == realBefore; {
		require.True(w.p.t, time.Now().Before(deadline), "%s: no progress notice", w.p.about)
		require.NoError(w.p.t, w.real.stream.Send(req))
		time.Sleep(20 * time.Millisecond)
	}
	w.mark()
}

// mark starts a watch and waits until both have answered it, and all requests before it.
func (w *watchPair) mark() {
	w.p.t.Helper()
	w.next++
	w.create(&pb.WatchCreateRequest{Key: []byte("~"), WatchId: w.next})
	w.settleUntil(func() bool { return w.fake.received() && w.real.received() })
}

func (w *watchPair) settleUntil(done func() bool) {
	w.p.t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		require.True(w.p.t, time.Now().Before(deadline), "%s: no answer to a watch", w.p.about)
		time.Sleep(200 * time.Microsecond)
	}
}

// same waits until both streams have received the same.
func (w *watchPair) same() {
	w.p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		want, got := w.real.copy(), w.fake.copy()
		if w.real.received() && w.fake.received() && equal(want, got) {
			return
		}
		if time.Now().After(deadline) {
			require.Equal(w.p.t, want, got, w.p.about)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func equal(a, b map[int64][]string) bool {
	if len(a) != len(b) {
		return false
	}
	for id, lines := range a {
		if len(lines) != len(b[id]) {
			return false
		}
		for i := range lines {
			if lines[i] != b[id][i] {
				return false
			}
		}
	}
	return true
}
