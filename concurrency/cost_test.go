package concurrency

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// TestUncontendedLockIsTwoRequests shows that a lock that only one session wants costs one
// transaction to acquire and one to release, and no other requests.
func TestUncontendedLockIsTwoRequests(t *testing.T) {
	fake, client := newFake(t)
	m := NewMutex(newSession(t, client), "lock")
	fake.ForgetRequests()
	require.NoError(t, m.Lock(t.Context()))
	require.NoError(t, m.Unlock(t.Context()))
	require.NoError(t, m.TryLock(t.Context()))
	require.NoError(t, m.Unlock(t.Context()))
	assert.Len(t, fake.Requests("Txn"), 4)
	assert.Empty(t, fake.Requests("Range", "Put", "DeleteRange", "Watch"))
}

// TestHandOverIsOneEventAndOneRequest has a lock go through a queue of 64 sessions. Each session
// gets one event, sends one request before it has the lock, and another one to release it.
func TestHandOverIsOneEventAndOneRequest(t *testing.T) {
	const n = 64
	fake, client := newFake(t)
	holder := NewMutex(newSession(t, client), "lock")
	require.NoError(t, holder.Lock(t.Context()))
	var wg sync.WaitGroup
	for i := range n {
		m := NewMutex(newSession(t, client), "lock")
		wg.Go(func() {
			assert.NoError(t, m.Lock(t.Context()))
			assert.NoError(t, m.Unlock(t.Context()))
		})
		awaitKeys(t, client, m.pfx, i+2)
	}
	// Each session watches its own key and that of the session before it.
	require.Eventually(t, func() bool {
		return creates(fake.Requests("Watch")) == 2*n
	}, time.Minute, 5*time.Millisecond)
	fake.ForgetRequests()
	require.NoError(t, holder.Unlock(t.Context()))
	wg.Wait()
	assert.Len(t, fake.Requests("Txn"), 1+2*n, "one to see that it is its turn and one to release")
	assert.Empty(t, fake.Requests("Range", "DeleteRange"))
	assert.Zero(t, creates(fake.Requests("Watch")))
}

// creates counts the create requests of watches.
func creates(reqs []etcdfake.Request) (n int) {
	for _, r := range reqs {
		if req, ok := r.Msg.(*pb.WatchRequest); ok && req.GetCreateRequest() != nil {
			n++
		}
	}
	return n
}

// countingClient returns a client and a count of its unary requests. Lease renewals do not count,
// because they are sent on a stream.
func countingClient(tb testing.TB) (*clientv3.Client, *atomic.Int64) {
	tb.Helper()
	n := &atomic.Int64{}
	client, err := clientv3.New(clientv3.Config{Endpoints: shared.Endpoints(), Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any,
				cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				n.Add(1)
				return next(ctx, method, req, reply, cc, opts...)
			}),
		}})
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, client.Close()) })
	return client, n
}

func BenchmarkUncontendedLockAndUnlock(b *testing.B) {
	client, requests := countingClient(b)
	m := NewMutex(newSession(b, client), b.Name())
	requests.Store(0)
	for b.Loop() {
		if err := m.Lock(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := m.Unlock(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(requests.Load())/float64(b.N), "requests/op")
}

// BenchmarkQueueOf64 measures one hand-over in a queue of 64 sessions: one acquisition, with its
// watches, and one release. Each session asks for the lock again as soon as it has released it.
func BenchmarkQueueOf64(b *testing.B) {
	client, requests := countingClient(b)
	const n = 64
	var mutexes []*Mutex
	for range n {
		mutexes = append(mutexes, NewMutex(newSession(b, client), b.Name()))
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	turns, over := make(chan struct{}), make(chan struct{})
	requests.Store(0)
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, m := range mutexes {
		wg.Go(func() {
			for m.Lock(ctx) == nil {
				select {
				case turns <- struct{}{}:
				case <-over:
					return
				}
				if err := m.Unlock(b.Context()); err != nil {
					panic(fmt.Sprint("unlock: ", err))
				}
			}
		})
	}
	for range b.N {
		<-turns
	}
	b.StopTimer()
	b.ReportMetric(float64(requests.Load())/float64(b.N), "requests/op")
	cancel()
	close(over)
	wg.Wait()
}

func BenchmarkSTM(b *testing.B) {
	client, requests := countingClient(b)
	requests.Store(0)
	for b.Loop() {
		if _, err := NewSTM(client, func(s STM) error {
			s.Put("counter", s.Get("counter")[:0]+"1")
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(requests.Load())/float64(b.N), "requests/op")
}
