package watch_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
)

// plainServer is a store other than etcd that speaks etcd's protocol. It confirms only create
// requests that have neither a watch id nor options, and chooses the watch id. The header of the
// confirmation is empty. Then it sends one event of the watch's key.
type plainServer struct {
	// refuse returns the status that ends the stream at a create request with an id or options. If
	// refuse is nil, such a request stays unanswered.
	refuse func() error

	options atomic.Int64 // counts the create requests with an id or options
	cut     cutter
}

// cutter ends the streams of a server.
type cutter struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed by the next call of now.
func (c *cutter) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch == nil {
		c.ch = make(chan struct{})
	}
	return c.ch
}

// now ends the current streams.
func (c *cutter) now() {
	c.next()
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ch)
	c.ch = nil
}

func (s *plainServer) serve(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	failed, cut := make(chan error, 1), s.cut.next()
	go func() { failed <- s.answer(recv, send) }() // ends with the stream
	select {
	case err := <-failed:
		return err
	case <-cut:
		return status.Error(codes.Unavailable, "cut")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *plainServer) answer(
	recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	for id := int64(0); ; id++ {
		req, err := recv()
		if err != nil {
			return err
		}
		create := req.GetCreateRequest()
		switch {
		case create == nil:
			continue
		case create.WatchId != 0 || create.Fragment:
			s.options.Add(1)
			if s.refuse != nil {
				return s.refuse()
			}
			continue
		}
		time.Sleep(time.Millisecond)
		rev := max(create.StartRevision, 2)
		for _, resp := range []*pb.WatchResponse{
			{Header: &pb.ResponseHeader{}, WatchId: id, Created: true},
			{Header: &pb.ResponseHeader{Revision: rev}, WatchId: id, Events: []*mvccpb.Event{
				{Kv: &mvccpb.KeyValue{Key: create.Key, ModRevision: rev}},
			}},
		} {
			if err := send(resp); err != nil {
				return err
			}
		}
	}
}

// TestServersWithoutWatchOptions: a server refuses create requests with a watch id or options, or
// leaves them unanswered. The client sends only one such request to it. Every watch gets its event
// within half a second, at the start and after each reconnect.
func TestServersWithoutWatchOptions(t *testing.T) {
	for name, refuse := range map[string]func() error{
		"unanswered": nil,
		"failed precondition": func() error {
			return status.Error(codes.FailedPrecondition, "unsupported options in watch request")
		},
		"invalid argument": func() error { return status.Error(codes.InvalidArgument, "no") },
	} {
		for _, opts := range [][]clientv3.OpOption{nil, {clientv3.WithRev(5)}} {
			t.Run(fmt.Sprint(name, len(opts)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &plainServer{refuse: refuse}
					pipes := pipes.NewWatch(server.serve)
					w := clientv3.NewWatchFromWatchClient(pipes, nil)
					const watches = 24
					begin := time.Now()
					var chans []clientv3.WatchChan
					for i, open := range openAll(t, w, watches, opts...) {
						chans = append(chans, open())
						requireKey(t, chans[i], fmt.Sprint(i))
					}
					assert.Less(t, time.Since(begin), 500*time.Millisecond)
					for range 3 {
						server.cut.now()
						begin = time.Now()
						for i, ch := range chans {
							requireKey(t, ch, fmt.Sprint(i))
						}
						assert.Less(t, time.Since(begin), 500*time.Millisecond)
					}
					assert.EqualValues(t, 1, server.options.Load())
					require.NoError(t, w.Close())
					pipes.Close()
				})
			})
		}
	}
}

// openAll calls Watch for n keys "0", "1" and so on, without waiting. Each of the functions that it
// returns waits for one call and returns its channel.
func openAll(
	t *testing.T, w clientv3.Watcher, n int, opts ...clientv3.OpOption,
) (opens []func() clientv3.WatchChan) {
	for i := range n {
		opens = append(opens, watchAsync(t.Context(), w, fmt.Sprint(i), opts...))
	}
	return opens
}

// requireKey receives one response and requires an event of the key.
func requireKey(t *testing.T, ch clientv3.WatchChan, key string) {
	t.Helper()
	wr := nextResponse(t, ch)
	require.NoError(t, wr.Err())
	require.Equal(t, key, string(wr.Events[0].Kv.Key))
}

// distantServer answers each create request after a round trip of 20 ms, many at a time. It accepts
// the watch ids that the client chooses.
type distantServer struct {
	slow  atomic.Int64 // the slow-th create request is answered after four seconds
	order bool         // the answers keep the order of the requests
	cut   cutter
}

func (s *distantServer) serve(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	var mu sync.Mutex // serializes the calls of send
	answer := func(create *pb.WatchCreateRequest) {
		mu.Lock()
		defer mu.Unlock()
		rev := max(create.StartRevision, 2)
		_ = send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1}, WatchId: create.WatchId,
			Created: true})
		_ = send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: rev},
			WatchId: create.WatchId, Events: []*mvccpb.Event{
				{Kv: &mvccpb.KeyValue{Key: create.Key, ModRevision: rev}},
			}})
	}
	failed, cut := make(chan error, 1), s.cut.next()
	go func() { // ends with the stream
		before := make(chan struct{}) // closed when the previous create has been answered
		close(before)
		for id := int64(0); ; id++ {
			req, err := recv()
			if err != nil {
				failed <- err
				return
			}
			create := req.GetCreateRequest()
			if create == nil {
				continue
			}
			if create.WatchId == 0 {
				create.WatchId = id
			}
			trip := 20 * time.Millisecond
			if s.slow.CompareAndSwap(id+1, 0) {
				if s.order {
					time.Sleep(4 * time.Second)
				} else {
					trip = 4 * time.Second
				}
			}
			if !s.order {
				time.AfterFunc(trip, func() { answer(create) })
				continue
			}
			// Each answer waits for the previous one, because timers that expire at the same
			// instant run in any order.
			previous, done := before, make(chan struct{})
			before = done
			time.AfterFunc(trip, func() { <-previous; answer(create); close(done) })
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-cut:
		return status.Error(codes.Unavailable, "cut")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestOneSlowCreateLeavesTheWindowOpen: a thousand watches resume over a network with a round trip
// of 20 ms, and the server takes four seconds to answer one of the create requests. All watches
// resume within five seconds. One by one they would take 20 seconds.
func TestOneSlowCreateLeavesTheWindowOpen(t *testing.T) {
	for _, slow := range []int64{1, 2, 500} {
		for _, order := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d in order %v", slow, order), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &distantServer{order: order}
					pipes := pipes.NewWatch(server.serve)
					w := clientv3.NewWatchFromWatchClient(pipes, nil)
					var chans []clientv3.WatchChan
					for i, open := range openAll(t, w, 1000) {
						chans = append(chans, open())
						requireKey(t, chans[i], fmt.Sprint(i))
					}
					for range 2 {
						server.slow.Store(slow)
						server.cut.now()
						begin := time.Now()
						for i, ch := range chans {
							requireKey(t, ch, fmt.Sprint(i))
						}
						assert.Less(t, time.Since(begin), 5*time.Second)
					}
					require.NoError(t, w.Close())
					pipes.Close()
					synctest.Wait()
				})
			})
		}
	}
}

// oddServer confirms the create requests in order, and sends each watch one event at its start
// revision. "With an id" means that the client has chosen the watch id.
type oddServer struct {
	ownIDs  bool          // it replaces the client's ids by others
	ignores bool          // it leaves creates with an id unanswered
	slow    time.Duration // how long it takes to answer the first create with an id
	refuses bool          // it refuses the first create with an id

	streams atomic.Int64 // how many were opened
	seen    atomic.Bool  // it has received a create with an id
}

func (o *oddServer) serve(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	o.streams.Add(1)
	for id := int64(0); ; id++ {
		req, err := recv()
		if err != nil {
			return err
		}
		create := req.GetCreateRequest()
		if create == nil || o.ignores && create.WatchId != 0 {
			continue
		}
		first := create.WatchId != 0 && o.seen.CompareAndSwap(false, true)
		if first {
			time.Sleep(o.slow)
		}
		if first && o.refuses {
			if err := send(&pb.WatchResponse{WatchId: -1, Created: true, Canceled: true,
				CancelReason: "not now"}); err != nil {
				return err
			}
			continue
		}
		if o.ownIDs || create.WatchId == 0 {
			create.WatchId = id
		}
		rev := max(create.StartRevision, 2)
		for _, resp := range []*pb.WatchResponse{
			{Header: &pb.ResponseHeader{Revision: 1}, WatchId: create.WatchId, Created: true},
			{Header: &pb.ResponseHeader{Revision: rev}, WatchId: create.WatchId,
				Events: []*mvccpb.Event{
					{Kv: &mvccpb.KeyValue{Key: create.Key, ModRevision: rev}},
				}},
		} {
			if err := send(resp); err != nil {
				return err
			}
		}
	}
}

// TestLateCreateAnswersShiftNoWatch: many watches begin at once. The servers answer the first
// create request later than the client waits, and some replace or ignore the watch ids that the
// client chooses. If the client sent that create request again on the same stream, it could take
// the late answer for the answer to another watch. So the client closes the stream, and no watch
// receives events of another watch.
func TestLateCreateAnswersShiftNoWatch(t *testing.T) {
	for name, server := range map[string]*oddServer{
		"etcd":                   {},
		"slow":                   {slow: time.Minute},
		"slow, refuses":          {slow: time.Minute, refuses: true},
		"own ids":                {ownIDs: true},
		"own ids, slow":          {ownIDs: true, slow: time.Minute},
		"own ids, slow, refuses": {ownIDs: true, slow: time.Minute, refuses: true},
		"ignores ids":            {ignores: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipes := pipes.NewWatch(server.serve)
				w := clientv3.NewWatchFromWatchClient(pipes, nil)
				const watches = 50
				var chans []func() clientv3.WatchChan
				for i := range watches {
					chans = append(chans, watchAsync(t.Context(), w, fmt.Sprint(i)))
				}
				for i, ch := range chans {
					wr := nextResponse(t, ch())
					require.NoError(t, wr.Err())
					require.Equal(t, fmt.Sprint(i), string(wr.Events[0].Kv.Key))
				}
				require.LessOrEqual(t, server.streams.Load(), int64(2))
				require.NoError(t, w.Close())
				pipes.Close()
			})
		})
	}
}
