package client_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// pipeListener accepts the connections that its method dial makes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	dials  atomic.Int64
}

func (l *pipeListener) dial(ctx context.Context, _ string) (net.Conn, error) {
	l.dials.Add(1)
	mine, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return mine, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// mutelyWatched is a watch service that creates watches and sends nothing more.
type mutelyWatched struct{ pb.UnimplementedWatchServer }

func (mutelyWatched) Watch(stream pb.Watch_WatchServer) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		if req.GetCreateRequest() != nil {
			if err := stream.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1},
				WatchId: req.GetCreateRequest().WatchId, Created: true}); err != nil {
				return err
			}
		}
	}
}

// TestIdleWatchIsNotThrownOut: gRPC's default policy allows a client one ping in five minutes. A
// server with that policy keeps the connection of a client with a zero Config, or with pings off. A
// client whose Config asks for more pings sends them.
func TestIdleWatchIsNotThrownOut(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  clientv3.Config
		kept bool
	}{
		"zero":   {clientv3.Config{}, true},
		"off":    {clientv3.Config{DialKeepAliveTime: -1}, true},
		"often":  {clientv3.Config{DialKeepAliveTime: 10 * time.Second}, false},
		"rarely": {clientv3.Config{DialKeepAliveTime: 6 * time.Minute}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
				srv := grpc.NewServer()
				pb.RegisterWatchServer(srv, mutelyWatched{})
				var serving sync.WaitGroup
				serving.Go(func() { _ = srv.Serve(l) })
				tc.cfg.Endpoints, tc.cfg.Logger = []string{"a:1"},
					testclient.Logger(t, clientv3.Config{})
				tc.cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(l.dial)}
				c, err := clientv3.New(tc.cfg)
				require.NoError(t, err)
				require.True(t, (<-c.Watch(t.Context(), "k", clientv3.WithCreatedNotify())).Created)
				time.Sleep(10 * time.Minute) // of virtual time
				assert.Equal(t, tc.kept, l.dials.Load() == 1, "%d connections", l.dials.Load())
				require.NoError(t, c.Close())
				srv.Stop()
				serving.Wait()
			})
		})
	}
}
