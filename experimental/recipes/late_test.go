package recipe

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// putsKey reports whether a request would put a key.
func putsKey(req proto.Message, key string) bool {
	switch req := req.(type) {
	case *pb.PutRequest:
		return string(req.Key) == key
	case *pb.TxnRequest:
		for _, op := range req.Success {
			if string(op.GetRequestPut().GetKey()) == key {
				return true
			}
		}
	}
	return false
}

// TestDoubleBarrierIsNotOpenedByAnEarlierRound: the request that opens the barrier (it puts the
// ready key) is applied late, when all clients have left and one has come back to enter. The
// request has the condition that its sender's key still exists. So it has no effect, and the client
// that came back goes on waiting.
func TestDoubleBarrierIsNotOpenedByAnEarlierRound(t *testing.T) {
	fake := etcdfake.Start(t)
	client := newClient(t, fake.Addr())
	a, b := NewDoubleBarrier(newSession(t, client), "db", 2),
		NewDoubleBarrier(newSession(t, client), "db", 2)
	var mu sync.Mutex
	var late proto.Message
	var method string
	for _, m := range []string{"Put", "Txn"} {
		fake.Unary(m, func(ctx context.Context, req proto.Message) (proto.Message, error) {
			mu.Lock()
			defer mu.Unlock()
			if late == nil && putsKey(req, a.readyKey()) {
				late, method = req, m
				return nil, status.Error(codes.Unavailable, "stopped")
			}
			return fake.Apply(ctx, m, req)
		})
	}
	first := async(a.Enter)
	awaitKeys(t, client, "db", 1)
	require.NoError(t, b.Enter())
	require.NoError(t, result(t, first))
	leaving := async(a.Leave)
	require.NoError(t, b.Leave())
	require.NoError(t, result(t, leaving))
	require.NotNil(t, late)

	first = async(a.Enter)
	awaitKeys(t, client, "db", 1)
	_, err := fake.Apply(t.Context(), method, late)
	require.NoError(t, err)
	stillWaits(t, first)
	require.NoError(t, b.Enter())
	require.NoError(t, result(t, first))
}

// TestRWMutexAppliedThoughAnErrorWasReturned: a server applies the request that uses up its space,
// but answers it with the error "no space". Lock returns the error, and the client deletes the key
// that the request has put.
func TestRWMutexAppliedThoughAnErrorWasReturned(t *testing.T) {
	fake := etcdfake.Start(t)
	client := newClient(t, fake.Addr())
	fake.FailAfterApply("Txn", 1, rpctypes.ErrGRPCNoSpace)
	assert.Equal(t, rpctypes.ErrNoSpace, NewRWMutex(newSession(t, client), "rw").Lock())
	awaitKeys(t, client, "rw", 0)
}

// TestRecipesEndWithTheirSessions has a member that no longer answers transactions.
// DoubleBarrier.Leave and RWMutex.Unlock end when their session does.
func TestRecipesEndWithTheirSessions(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *concurrency.Session) (end func() error){
		"Leave": func(t *testing.T, s *concurrency.Session) func() error {
			a, b := NewDoubleBarrier(newSession(t, s.Client()), "key", 2),
				NewDoubleBarrier(s, "key", 2)
			entering := async(a.Enter)
			awaitKeys(t, s.Client(), "key", 1)
			require.NoError(t, b.Enter())
			require.NoError(t, result(t, entering))
			return b.Leave // the client that entered last deletes its own key, in a transaction
		},
		"RUnlock": func(t *testing.T, s *concurrency.Session) func() error {
			rw := NewRWMutex(s, "key")
			require.NoError(t, rw.RLock())
			return rw.RUnlock
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.Start(t)
			s := newSession(t, newClient(t, fake.Addr()))
			end := begin(t, s)
			waits := make(chan struct{}, 100)
			fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
				if len(req.(*pb.TxnRequest).Compare) == 0 {
					return fake.Apply(ctx, "Txn", req) // reads
				}
				waits <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			})
			done := async(end)
			select {
			case <-waits:
			case <-time.After(5 * time.Second):
				require.Fail(t, "it sends nothing")
			}
			s.Orphan()
			assert.Equal(t, concurrency.ErrSessionExpired, result(t, done))
		})
	}
}
