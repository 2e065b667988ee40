package keepalive

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/bidi"
)

var errHalted = errors.New("halted")

// chanSink is a sink that delivers answers to a channel, as the client does for its users.
type chanSink struct {
	ch     chan *pb.LeaseKeepAliveResponse
	reason error // read after ch is closed
}

func newSink() *chanSink {
	return &chanSink{ch: make(chan *pb.LeaseKeepAliveResponse, 1)}
}

func (c *chanSink) Deliver(resp *pb.LeaseKeepAliveResponse, _ time.Time) bool {
	select {
	case c.ch <- resp:
		return true
	default:
		return false
	}
}

func (c *chanSink) Close(reason error) {
	c.reason = reason
	close(c.ch)
}

// end waits for the channel to close and returns the reason.
func (c *chanSink) end() error {
	for range c.ch {
	}
	return c.reason
}

// open reports whether the channel is open.
func (c *chanSink) open() bool {
	for {
		select {
		case _, ok := <-c.ch:
			if !ok {
				return false
			}
		default:
			return true
		}
	}
}

// cluster is a fake etcd: it serves the streams that a Keeper opens.
type cluster struct {
	mu     sync.Mutex
	dials  int
	lasts  []error
	asked  []int64
	stream *fakeStream // the latest stream
	refuse error       // if not nil, dial fails with this error
	ttl    int64       // the TTL in each answer; if it is 0, requests are not answered
}

// fakeStream fails when its context ends, as the streams of gRPC do.
type fakeStream struct {
	ctx  context.Context
	c    *cluster
	resp chan *pb.LeaseKeepAliveResponse
	err  chan error
}

func (c *cluster) dial(ctx context.Context, last error) (Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dials++
	c.lasts = append(c.lasts, last)
	if c.refuse != nil {
		return nil, c.refuse
	}
	c.stream = &fakeStream{ctx, c, make(chan *pb.LeaseKeepAliveResponse, 1000), make(chan error, 1)}
	return c.stream, nil
}

func (f *fakeStream) Send(req *pb.LeaseKeepAliveRequest) error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.asked = append(f.c.asked, req.ID)
	if f.c.ttl != 0 {
		f.resp <- &pb.LeaseKeepAliveResponse{ID: req.ID, TTL: f.c.ttl}
	}
	return nil
}

func (f *fakeStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	select {
	case resp := <-f.resp:
		return resp, nil
	case err := <-f.err:
		return nil, err
	case <-f.ctx.Done():
		return nil, status.FromContextError(f.ctx.Err()).Err()
	}
}

func (*fakeStream) CloseSend() error { return nil }

func (c *cluster) breakStream(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stream.err <- err
}

func (c *cluster) count() (dials, asked int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dials, len(c.asked)
}

func (c *cluster) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// keepers runs f in virtual time, with a [Keeper] and the fake cluster that serves its streams.
func keepers(t *testing.T, f func(k *Keeper, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		c := &cluster{ttl: 9}
		k := New(context.Background(), c.config())
		f(k, c)
		k.Close(io.EOF)
	})
}

func (c *cluster) config() Config {
	return Config{
		Dial: c.dial,
		Link: bidi.Options{Backoff: backoff.Policy{Base: 100 * time.Millisecond,
			Max: time.Second}},
		FirstTimeout: firstTimeout,
		Expired:      errExpired,
		Gone:         errGone,
		Reason:       rpctypes.Error,
		Halted:       func(cause error) error { return errors.Join(errHalted, cause) },
	}
}

func keep(t *testing.T, k *Keeper, ctx context.Context, id int64, requireLeader bool) *chanSink {
	t.Helper()
	s := newSink()
	require.NoError(t, k.KeepAlive(ctx, id, new(Subscriber), s, requireLeader))
	return s
}

var bg = context.Background()
