package watch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/metadata"

	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

// world is a [Streams] under test, with a fake of the client that owns it and a fake server. Its
// time is virtual.
type world struct {
	*Streams
	t     *testing.T
	pipes *pipes.Watch

	mu          sync.Mutex
	silent      bool        // the server receives requests but sends nothing
	progress    bool        // the server answers requests for progress
	refuse      string      // if not empty, the server refuses to create watches for this reason
	refusesOnly int64       // refuse only watches that start at this revision; 0: refuse all
	revision    int64       // the server's current revision
	current     *etcdStream // the latest stream
	token       uint64      // the generation of the current auth token
	renewErr    error       // what a renewal of the auth token returns
	start       time.Time   // the durations in record count from this time
	record      record
}

// record lists what the code under test has done to the fakes.
type record struct {
	opened   []time.Duration // when streams were opened, since the start
	metadata []metadata.MD   // for each stream, the metadata of its context
	requests []*pb.WatchRequest
	renewed  []uint64 // for each call of Renew, the generation of the token to replace
	probes   int      // calls of Config.ProbeMembers
	avoided  int      // calls of AvoidLast
	broken   []error  // for each stream that was replaced, the error that ended it
	backlogs []int    // for each call of Config.Backlog, how many responses waited for the consumer
}

// questions returns how many of the requests are for progress.
func (r record) questions() (n int) {
	for _, req := range r.requests {
		if req.GetProgressRequest() != nil {
			n++
		}
	}
	return n
}

// etcdStream is the server's side of one stream.
type etcdStream struct {
	send func(*pb.WatchResponse) error
	end  chan error
	live map[int64]bool // the ids of its watches
	last int64          // the last id that the server has chosen
}

// inWorld runs a test in a bubble of virtual time.
func inWorld(t *testing.T, test func(*testing.T, *world), changes ...func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, progress: true, revision: 10, start: time.Now()}
		w.pipes = pipes.NewWatch(w.serve)
		cfg := Config{
			Open:         func(ctx context.Context) (Stream, error) { return w.pipes.Watch(ctx) },
			NewTarget:    func() Target { return w },
			MaxReceived:  1 << 30,
			Limited:      true,
			Tokens:       w,
			Progress:     NewProgressServers(),
			ProbeMembers: func() { w.locked(func() { w.record.probes++ }) },
			Broken: func(err error) {
				w.locked(func() { w.record.broken = append(w.record.broken, err) })
			},
			Backlog: func(n, _ int) {
				w.locked(func() { w.record.backlogs = append(w.record.backlogs, n) })
			},
		}
		for _, change := range changes {
			change(&cfg)
		}
		w.Streams = New(t.Context(), cfg)
		test(t, w)
		w.Close()
		w.pipes.Close()
	})
}

func (w *world) locked(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) Generation() (g uint64) {
	w.locked(func() { g = w.token })
	return g
}

func (w *world) Renew(_ context.Context, seen uint64) (err error) {
	w.locked(func() {
		w.record.renewed = append(w.record.renewed, seen)
		w.token++
		err = w.renewErr
	})
	return err
}

func (w *world) With(ctx context.Context) context.Context { return ctx }

func (w *world) AvoidLast() { w.locked(func() { w.record.avoided++ }) }

func (w *world) Address() string { return "member" }

func (w *world) WithoutHealth() bool { return false }

// serve is the server's side of a stream. The server takes over the ids that the client chooses,
// and answers as the fields of w say.
func (w *world) serve(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	s := &etcdStream{send: send, end: make(chan error, 1), live: map[int64]bool{}}
	md, _ := metadata.FromIncomingContext(ctx)
	w.locked(func() {
		w.record.opened = append(w.record.opened, time.Since(w.start))
		w.record.metadata = append(w.record.metadata, md)
		w.current = s
	})
	reqs := make(chan *pb.WatchRequest)
	go func() { // ends with the stream
		defer close(reqs)
		for {
			req, err := recv()
			if err != nil {
				return
			}
			select {
			case reqs <- req:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case req, open := <-reqs:
			if !open {
				return ctx.Err()
			}
			if err := w.answer(s, req); err != nil {
				return err
			}
		case err := <-s.end:
			return err
		}
	}
}

func (w *world) answer(s *etcdStream, req *pb.WatchRequest) error {
	w.mu.Lock()
	w.record.requests = append(w.record.requests, req)
	silent, progress, refuse := w.silent, w.progress, w.refuse
	resp := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: w.revision}, WatchId: -1}
	defer w.mu.Unlock()
	switch r := req.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		resp.Created, resp.WatchId = true, r.CreateRequest.WatchId
		if resp.WatchId == 0 {
			s.last++
			resp.WatchId = s.last
		}
		if refuse != "" && (w.refusesOnly == 0 || w.refusesOnly == r.CreateRequest.StartRevision) {
			resp.WatchId, resp.Canceled, resp.CancelReason = -1, true, refuse
		} else {
			s.live[resp.WatchId] = true
		}
	case *pb.WatchRequest_CancelRequest:
		resp.WatchId, resp.Canceled = r.CancelRequest.WatchId, true
		delete(s.live, resp.WatchId)
	default:
		silent = silent || !progress
	}
	if silent {
		return nil
	}
	return s.send(resp)
}

// event sends an event to each watch of the latest stream.
func (w *world) event(rev int64) {
	w.mu.Lock()
	w.revision = rev
	var resps []*pb.WatchResponse
	for id := range w.current.live {
		resps = append(resps, &pb.WatchResponse{WatchId: id,
			Header: &pb.ResponseHeader{Revision: rev},
			Events: []*mvccpb.Event{{Kv: &mvccpb.KeyValue{ModRevision: rev}}}})
	}
	send := w.current.send
	w.mu.Unlock()
	for _, resp := range resps {
		require.NoError(w.t, send(resp))
	}
}

// notice sends a progress notice, the answer to a progress request.
func (w *world) notice() {
	w.mu.Lock()
	send, rev := w.current.send, w.revision
	w.mu.Unlock()
	require.NoError(w.t, send(&pb.WatchResponse{WatchId: -1,
		Header: &pb.ResponseHeader{Revision: rev}}))
}

// end ends the latest stream.
func (w *world) end(err error) { w.locked(func() { w.current.end <- err }) }

// seen waits until all goroutines of the test are blocked. It returns a copy of the record.
func (w *world) seen() (r record) {
	synctest.Wait()
	w.locked(func() { r = w.record })
	return r
}

// forget starts the record anew.
func (w *world) forget() { w.locked(func() { w.record, w.start = record{}, time.Now() }) }

// watched is a watch and its sink.
type watched struct {
	Watch
	mu      sync.Mutex
	created int
	events  []int64
	finals  []watchmux.Final
}

func (w *world) watch(ctx context.Context, from int64) *watched {
	w.t.Helper()
	s := &watched{}
	require.True(w.t, w.Add(ctx, &s.Watch, &pb.WatchCreateRequest{StartRevision: from}, s))
	synctest.Wait()
	return s
}

func (s *watched) Created(*pb.ResponseHeader) { s.created++ }

func (s *watched) Deliver(_ *pb.ResponseHeader, events []*mvccpb.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.events = append(s.events, e.Kv.ModRevision)
	}
	return false
}

func (s *watched) Done(f watchmux.Final) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finals = append(s.finals, f)
}

func (s *watched) ended() []watchmux.Final {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finals
}

// after waits for d of virtual time, and then until all goroutines are blocked.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// received returns the revisions of the events that the watch has received.
func (s *watched) received() []int64 {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}
