package client_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// quickest runs f five times and returns the shortest duration: a pause of the machine makes only
// some of the runs longer.
func quickest(t *testing.T, f func()) time.Duration {
	best := time.Hour
	for range 5 {
		took := testclient.Stopwatch(t)
		f()
		best = min(best, took())
	}
	return best
}

func TestCloseEndsCallsUnderWay(t *testing.T) {
	s := etcdfake.Start(t)
	s.Delay("Range", time.Hour)
	s.Delay("Put", time.Hour)
	best := quickest(t, func() {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr()}, Logger: zap.NewNop()})
		require.NoError(t, err)
		s.ForgetRequests()
		errs := make(chan error, 20)
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() { _, err := c.Get(context.Background(), "k"); errs <- err })
			calls.Go(func() { _, err := c.Put(context.Background(), "k", "v"); errs <- err })
		}
		testclient.Eventually(t, func() bool {
			return len(s.Requests("Range", "Put")) == 20
		}, "all calls are in flight")
		closing := testclient.Stopwatch(t)
		require.NoError(t, c.Close())
		calls.Wait()
		assert.Less(t, closing(), 5*time.Second)
		close(errs)
		for err := range errs {
			assert.True(t, clientv3.IsConnCanceled(err), "%v", err)
		}
	})
	t.Logf("connect, 20 calls, close: %v at best", best)
}

func TestCallsAfterCloseFailAtOnce(t *testing.T) {
	s := etcdfake.Start(t)
	for _, endpoint := range []string{s.Addr(), "127.0.0.1:1"} {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
		require.NoError(t, err)
		assert.Less(t, quickest(t, func() {
			require.NoError(t, c.Close(), "Close may be called again")
		}), 50*time.Millisecond)
		assert.Less(t, quickest(t, func() {
			_, err := c.Get(context.Background(), "k")
			assert.True(t, clientv3.IsConnCanceled(err), "%v", err)
			_, err = c.Put(context.Background(), "k", "v")
			assert.True(t, clientv3.IsConnCanceled(err), "%v", err)
			assert.True(t, clientv3.IsConnCanceled(c.Sync(context.Background())))
		}), 50*time.Millisecond)
		assert.ErrorIs(t, c.Ctx().Err(), context.Canceled)
	}
}

func TestParentContextEndsTheClient(t *testing.T) {
	s := etcdfake.Start(t)
	parent, cancel := context.WithCancel(t.Context())
	c := testclient.New(t, clientv3.Config{Endpoints: []string{s.Addr()}, Context: parent})
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	cancel()
	_, err = c.Put(t.Context(), "k", "v")
	assert.True(t, clientv3.IsConnCanceled(err), "%v", err)
}

// TestParentContextEndsCallsUnderWay: the end of Config.Context ends calls whose own contexts never
// end, and closes the connection, also if Close is never called.
func TestParentContextEndsCallsUnderWay(t *testing.T) {
	s := etcdfake.Start(t)
	s.Delay("Range", time.Hour)
	parent, cancel := context.WithCancel(t.Context())
	waiting := testclient.New(t, clientv3.Config{Endpoints: []string{"127.0.0.1:1"},
		Context: parent})
	asking := testclient.New(t, clientv3.Config{Endpoints: []string{s.Addr()}, Context: parent})
	errs := make(chan error, 2)
	for _, c := range []*clientv3.Client{waiting, asking} {
		// the end of parent ends the Get; the loop below waits for it
		go func() { _, err := c.Get(context.Background(), "k"); errs <- err }()
	}
	testclient.Eventually(t, func() bool {
		return len(s.Requests("Range")) == 1
	}, "a call is in flight")
	cancel()
	for range 2 {
		assert.True(t, clientv3.IsConnCanceled(within(t, time.Minute, errs)))
	}
}

// TestCloseEndsCallsToOneMember: Close ends calls to single members, such as Status, which have
// connections of their own.
func TestCloseEndsCallsToOneMember(t *testing.T) {
	s := etcdfake.Start(t)
	s.Delay("HashKV", time.Hour)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr()}, Logger: zap.NewNop()})
	require.NoError(t, err)
	errs := make(chan error, 2)
	// the Close of c ends both calls; the loop below waits for them
	go func() { _, err := c.Status(context.Background(), "127.0.0.1:1"); errs <- err }()
	go func() { _, err := c.HashKV(context.Background(), s.Addr(), 0); errs <- err }()
	testclient.Eventually(t, func() bool {
		return len(s.Requests("HashKV")) == 1
	}, "a call is in flight")
	require.NoError(t, c.Close())
	for range 2 {
		assert.True(t, clientv3.IsConnCanceled(within(t, time.Minute, errs)))
	}
	testclient.Eventually(t, func() bool { return s.Conns() == 0 }, "the connections are closed")
}

// within receives from ch, or fails the test after d.
func within[T any](t *testing.T, d time.Duration, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(d):
		require.FailNow(t, "nothing came")
	}
	return v
}

// noDial never connects, so that no connection leaves the machine.
var noDial = grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
})

// TestNewDoesNotWait: New returns at once, even if no endpoint can be reached or resolved.
func TestNewDoesNotWait(t *testing.T) {
	for _, endpoint := range []string{"127.0.0.1:1", "192.0.2.1:2379", "nowhere.invalid:2379",
		"unix:nowhere"} {
		best := quickest(t, func() {
			c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint},
				Logger:      zap.NewNop(),
				DialOptions: []grpc.DialOption{noDial}})
			require.NoError(t, err)
			require.NoError(t, c.Close())
		})
		assert.Less(t, best, 50*time.Millisecond, endpoint)
	}
}

func TestFailedNewFreesEverything(t *testing.T) {
	s := etcdfake.Start(t, etcdfake.WithUser("root", "secret"))
	leaks := goleak.IgnoreCurrent()
	_, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr()}, Username: "root",
		Password: "wrong",
		Logger:   zap.NewNop()})
	require.Error(t, err)
	_, err = clientv3.New(clientv3.Config{
		Endpoints: []string{"127.0.0.1:1"}, Username: "root", Password: "secret",
		Logger:      zap.NewNop(),
		DialTimeout: 50 * time.Millisecond,
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = clientv3.New(clientv3.Config{
		Endpoints: []string{s.Addr()}, Username: "root", Password: "secret", Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithDefaultServiceConfig("not JSON")},
	})
	require.ErrorContains(t, err, "service config is invalid")
	testclient.Eventually(t, func() bool { return s.Conns() == 0 }, "connections are closed")
	goleak.VerifyNone(t, leaks)
}

// TestClientWithoutConnection: a client from NewCtxClient has no connection. Requests fail with
// ErrNoAvailableEndpoints, and watches and keepalives end soon. All other methods work.
func TestClientWithoutConnection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	lg := zap.NewExample()
	c := clientv3.NewCtxClient(ctx, clientv3.WithZapLogger(lg))
	assert.Same(t, lg, c.GetLogger())
	assert.Same(t, c, c.WithLogger(nil))
	assert.NotNil(t, c.GetLogger())
	assert.Empty(t, c.Endpoints())
	assert.Nil(t, c.ActiveConnection())
	c.SetEndpoints("a:1", "b:1")
	assert.Equal(t, []string{"a:1", "b:1"}, c.Endpoints())
	_, err := c.Dial("a:1")
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, c.Sync(t.Context()))
	_, err = c.Get(t.Context(), "k")
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
	_, err = clientv3.RetryMaintenanceClient(c, c.ActiveConnection()).Status(t.Context(),
		&pb.StatusRequest{})
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
	_, err = c.GetStream(t.Context(), "k")
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
	last := within(t, time.Minute, c.Watch(t.Context(), "k"))
	assert.ErrorIs(t, last.Err(), clientv3.ErrNoAvailableEndpoints)
	kept, err := c.KeepAlive(t.Context(), 1)
	require.NoError(t, err)
	assert.Nil(t, within(t, time.Minute, kept), "closed")
	_, err = c.KeepAliveOnce(t.Context(), 1)
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
	cancel()
	assert.ErrorIs(t, c.Ctx().Err(), context.Canceled)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
}
