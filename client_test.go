package clientv3

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errConnClosed is the error of gRPC for calls on a closed connection.
var errConnClosed = status.Error(codes.Canceled, "grpc: the client connection is closing")

// lateContext has ended, but contexts that derive from it have not ended yet.
type lateContext struct {
	context.Context
	over atomic.Bool
}

func (c *lateContext) Err() error {
	if c.over.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

type closingLease struct{ pb.LeaseClient }

func (closingLease) LeaseKeepAlive(
	context.Context, ...grpc.CallOption,
) (pb.Lease_LeaseKeepAliveClient, error) {
	return nil, errConnClosed
}

type closingWatch struct{ pb.WatchClient }

func (closingWatch) Watch(context.Context, ...grpc.CallOption) (pb.Watch_WatchClient, error) {
	return nil, errConnClosed
}

// TestEndsAreThoseOfTheClient shows that watches and keepalives of a closed client end with
// context.Canceled. Their streams report the closed connection first here; that error must not
// reach the caller.
func TestEndsAreThoseOfTheClient(t *testing.T) {
	ctx := &lateContext{Context: t.Context()}
	c := &Client{clientState: &clientState{ctx: ctx}}
	ctx.over.Store(true)

	lease := NewLeaseFromLeaseClient(closingLease{}, c, 0)
	kept, end := WithKeepAliveEnd(context.Background())
	ch, err := lease.KeepAlive(kept, 1)
	if err == nil {
		for range ch { // until it is closed
		}
		err = end.Err()
	}
	assert.ErrorIs(t, err, context.Canceled)
	assert.NoError(t, lease.Close())

	watcher := NewWatchFromWatchClient(closingWatch{}, c)
	var last WatchResponse
	for resp := range watcher.Watch(context.Background(), "k") {
		last = resp
	}
	assert.Equal(t, context.Canceled, last.Err())
	assert.NoError(t, watcher.Close())
}
