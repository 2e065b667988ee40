package watch_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
)

// FuzzWatchServer: a server sends eight watches the responses that the fuzzed bytes encode. Some
// consumers read all responses, some cancel their context, and some stop reading. Nothing panics or
// hangs, each channel is closed once, and each watch gets its events in order.
func FuzzWatchServer(f *testing.F) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 50+rng.IntN(400))
		for i := range data {
			data[i] = byte(rng.UintN(256))
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			fuzzWatches(t, &fuzzServer{data: data}, len(data)%2 == 0)
		})
	})
}

// fuzzWatches runs in a bubble of virtual time, in which a wait for a redial takes no time and a
// deadlock is a failure.
func fuzzWatches(t *testing.T, server *fuzzServer, byContext bool) {
	pipes := pipes.NewWatch(server.serve)
	w := clientv3.NewWatchFromWatchClient(pipes, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var consumers sync.WaitGroup
	for i := range 8 {
		consumers.Go(func() { fuzzConsumer(t, ctx, w, i) })
	}
	for left := -1; left != server.left(); {
		// The loop ends when the server has sent nothing for a minute: either it has sent all its
		// data, or no watch is left to which it can send the rest.
		left = server.left()
		time.Sleep(time.Minute)
		_ = w.RequestProgress(ctx)
	}
	if byContext {
		cancel()
		consumers.Wait() // the canceled context ends all watches, without Close
	}
	require.NoError(t, w.Close())
	consumers.Wait()
	cancel()
	pipes.Close()
}

// fuzzConsumer consumes one watch. If kind%4 is 1, it cancels the watch's context after three
// responses. If kind%4 is 2, it stops reading after two responses. Otherwise it reads until the
// channel is closed.
func fuzzConsumer(t *testing.T, ctx context.Context, w clientv3.Watcher, kind int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ch := w.Watch(ctx, "k", clientv3.WithRev(int64(kind%3)), clientv3.WithWatchBuffer(0, 1+kind),
		clientv3.WithCreatedNotify())
	last, n := int64(0), 0
	for wr := range ch {
		if wr.Header == nil || n > 0 && wr.Created {
			t.Errorf("header %v, created %v as response %d", wr.Header, wr.Created, n)
		}
		for _, e := range wr.Events {
			if rev := e.Kv.ModRevision; rev != 0 && rev <= last {
				t.Errorf("revision %d after %d", rev, last)
			}
		}
		for _, e := range wr.Events {
			last = max(last, e.Kv.ModRevision)
		}
		if n++; kind%4 == 1 && n == 3 {
			cancel()
		}
		if kind%4 == 2 && n == 2 {
			return // stops reading; the deferred cancel ends the watch
		}
		_ = wr.Err()
	}
}

// fuzzServer sends the responses that its data encodes. When a stream ends, the next stream goes on
// with the data that is left.
type fuzzServer struct {
	mu   sync.Mutex
	data []byte
}

func (s *fuzzServer) next() (byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.data) == 0 {
		return 0, false
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b, true
}

func (s *fuzzServer) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data)
}

func (s *fuzzServer) serve(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	reqs := make(chan *pb.WatchRequest, 1000)
	go func() { // ends with the stream
		defer close(reqs)
		for {
			req, err := recv()
			if err != nil {
				return
			}
			reqs <- req
		}
	}()
	var creates []int64 // ids of the creates that are not answered
	for {
		b, ok := s.next()
		if !ok {
			<-ctx.Done()
			return ctx.Err()
		}
		switch b % 8 {
		case 0, 1:
			creates = append(creates, awaitCreate(ctx, reqs)...)
			continue
		case 2:
			if c, _ := s.next(); c%8 == 0 {
				return status.Error(codes.Code(c/8%17), "broken")
			}
			continue
		}
		resp := s.response(b)
		if resp.Created && len(creates) > 0 {
			if creates[0] != 0 && b&64 == 0 {
				resp.WatchId = creates[0]
			}
			creates = creates[1:]
		}
		if err := send(resp); err != nil {
			return err
		}
	}
}

// awaitCreate waits up to a second for the next request. If it is a create request, awaitCreate
// returns its watch id.
func awaitCreate(ctx context.Context, reqs <-chan *pb.WatchRequest) []int64 {
	select {
	case req := <-reqs:
		if req.GetCreateRequest() != nil {
			return []int64{req.GetCreateRequest().WatchId}
		}
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	return nil
}

func (s *fuzzServer) response(b byte) *pb.WatchResponse {
	id, _ := s.next()
	rev, _ := s.next()
	resp := &pb.WatchResponse{WatchId: int64(id%10) - 2, Created: b%8 == 3 || b%8 == 4,
		Fragment: b%8 == 6}
	if b&8 == 0 {
		resp.Header = &pb.ResponseHeader{Revision: int64(rev)}
	}
	if b&48 == 48 {
		resp.Canceled = true
		resp.CancelReason = []string{"", "no", rpctypes.ErrGRPCInvalidAuthToken.Error()}[rev%3]
		resp.CompactRevision = int64(rev % 4)
	}
	for range int(rev % 4) {
		r, _ := s.next()
		e := &mvccpb.Event{}
		if r > 0 {
			e.Kv = &mvccpb.KeyValue{Key: []byte("k"), ModRevision: int64(r)}
		}
		resp.Events = append(resp.Events, e)
	}
	return resp
}
