package cache

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// noticePeriod is the shortest time between periodic notices of progress for a watch that wants
// them. The actual time is up to a tenth longer. 10 minutes is also the default of etcd's server.
const noticePeriod = 10 * time.Minute

// memoryServer implements pb.WatchClient: it answers the Watch protocol from a cache, without a
// server.
type memoryServer struct {
	cache *Cache
	// tasks counts the goroutines of all streams that watch on the etcd server, for changes that
	// the cache no longer has.
	tasks sync.WaitGroup
}

// Watch implements pb.WatchClient. The stream ends with ctx.
func (s *memoryServer) Watch(
	ctx context.Context, _ ...grpc.CallOption,
) (pb.Watch_WatchClient, error) {
	id := strconv.FormatInt(streams.Add(1), 10)
	m := &memoryStream{server: s, cache: s.cache, kick: make(chan struct{}, 1),
		sourced: make(chan sourced), leader: s.cache.now().leaderLosses,
		notices: time.NewTicker(noticePeriod + rand.N(noticePeriod/10))}
	m.ctx, m.cancel = context.WithCancel(ctx)
	m.sourceCtx = metadata.AppendToOutgoingContext(m.ctx, streamKey, id)
	md, _ := metadata.FromOutgoingContext(ctx)
	m.needsLeader = len(md.Get(rpctypes.MetadataRequireLeaderKey)) > 0
	return m, nil
}

// memoryStream is the client's end of a Watch stream that a cache answers. It has no goroutine:
// Recv makes the next response when it is called. One goroutine may call Send while another calls
// Recv.
type memoryStream struct {
	// read-only after Watch
	server *memoryServer
	cache  *Cache
	ctx    context.Context
	cancel context.CancelFunc
	// sourceCtx is derived from ctx. Its metadata gives this stream's watches on the server a gRPC
	// stream of their own.
	sourceCtx context.Context
	// needsLeader says that the stream ends when the member that serves the cache's watch has no
	// leader.
	needsLeader bool
	leader      int64 // the value of view.leaderLosses when the stream was opened

	// kick receives a signal when a request was sent or CloseSend was called. It has room for one.
	kick    chan struct{}
	sourced chan sourced // responses of the watches on the server

	// used only by the goroutine that calls Recv
	table   *watchTable // the watches and pending responses; nil until the cache has read its range
	notices *time.Ticker
	proof   progressProof

	// noticesWanted says that the cache has ended and a request for progress is pending. Only
	// progress notices of the server can answer this request.
	noticesWanted atomic.Bool

	// guarded by mu
	mu       sync.Mutex
	requests []*pb.WatchRequest
	closed   bool // CloseSend was called
}

// Send implements pb.Watch_WatchClient.
func (m *memoryStream) Send(req *pb.WatchRequest) error {
	if m.ctx.Err() != nil {
		return io.EOF // Recv then returns the error
	}
	m.mu.Lock()
	m.requests = append(m.requests, req)
	m.mu.Unlock()
	signal(m.kick)
	return nil
}

// CloseSend implements pb.Watch_WatchClient.
func (m *memoryStream) CloseSend() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	signal(m.kick)
	return nil
}

// Recv implements pb.Watch_WatchClient.
func (m *memoryStream) Recv() (*pb.WatchResponse, error) {
	resp, err := m.next()
	if err != nil {
		m.notices.Stop()
		m.cancel()
	}
	return resp, err
}

// next waits for the next response to send to the consumer.
func (m *memoryStream) next() (*pb.WatchResponse, error) {
	for {
		if m.table != nil {
			if resp := m.table.take(); resp != nil {
				return resp, nil
			}
		}
		v := m.cache.now()
		if err := m.ended(v); err != nil {
			return nil, err
		}
		switch {
		case m.table == nil && !v.synced() && v.err == nil:
		case m.work(v):
			continue
		}
		m.wait(v)
	}
}

// ended returns the error with which the stream ends, or nil if it goes on.
func (m *memoryStream) ended(v *view) error {
	if err := m.ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	if m.needsLeader && v.leaderLosses != m.leader {
		return rpctypes.ErrGRPCNoLeader
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed && len(m.requests) == 0 {
		return io.EOF
	}
	return nil
}

// work handles the requests that have arrived, and gives the watches some of the changes up to the
// view v. It returns false if there was nothing to do.
func (m *memoryStream) work(v *view) bool {
	if m.table == nil {
		m.table = newWatchTable(m.cache.history, v)
	}
	m.mu.Lock()
	requests := m.requests
	m.requests = nil
	m.mu.Unlock()
	t := m.table
	t.look(v)
	for _, req := range requests {
		if _, ok := req.RequestUnion.(*pb.WatchRequest_ProgressRequest); ok {
			m.proof.want(time.Now())
			continue
		}
		t.request(req)
	}
	if v.err != nil && m.proof.pending() {
		t.awaitNotices()
	}
	t.asked = max(t.asked, m.proof.have(m.cache, v))
	more := t.step()
	if v.err != nil {
		m.noticesWanted.Store(t.noticesAwaited)
	}
	m.openSources()
	return more || len(requests) > 0 || len(t.out) > 0
}

// wait blocks until there may be something to do, such as a request, a newer view (state of the
// cache) than v, or a response of the server.
func (m *memoryStream) wait(v *view) {
	select {
	case <-m.ctx.Done():
	case <-m.kick:
	case <-v.replaced:
	case <-m.proof.answered():
	case s := <-m.sourced:
		m.takeSourced(s)
	case <-m.notices.C:
		if m.table != nil {
			m.table.tick()
		}
	}
}

// Context implements pb.Watch_WatchClient.
func (m *memoryStream) Context() context.Context { return m.ctx }

// Header implements pb.Watch_WatchClient.
func (m *memoryStream) Header() (metadata.MD, error) { return nil, nil }

// Trailer implements pb.Watch_WatchClient.
func (m *memoryStream) Trailer() metadata.MD { return nil }

var errUntyped = errors.New("cache: the stream takes messages of its own types only")

// SendMsg implements pb.Watch_WatchClient.
func (m *memoryStream) SendMsg(any) error { return errUntyped }

// RecvMsg implements pb.Watch_WatchClient.
func (m *memoryStream) RecvMsg(any) error { return errUntyped }
