package leasing

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

var shared etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Around(m)) }

// How long a test waits for a condition at most, and how often it checks the condition.
const (
	eventually = 10 * time.Second
	tick       = time.Millisecond
)

// pfx is the prefix of all lease keys in these tests.
const pfx = "L/"

func newClient(tb testing.TB, eps ...string) *clientv3.Client {
	tb.Helper()
	return newClientOf(tb, clientv3.Config{Endpoints: eps})
}

func newClientOf(tb testing.TB, cfg clientv3.Config) *clientv3.Client {
	tb.Helper()
	cfg.Logger = zap.NewNop()
	cli, err := clientv3.New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, cli.Close()) })
	return cli
}

// plainClient makes a client of the shared cluster, and deletes all keys.
func plainClient(tb testing.TB) *clientv3.Client {
	tb.Helper()
	cli := newClient(tb, shared.Endpoints()...)
	_, err := cli.Delete(tb.Context(), "", clientv3.WithPrefix())
	require.NoError(tb, err)
	return cli
}

// newKV makes a leasing KV that is stopped with the test.
func newKV(tb testing.TB, cli *clientv3.Client, opts ...concurrency.SessionOption) *leasingKV {
	tb.Helper()
	kv, stop, err := NewKV(cli, pfx, opts...)
	require.NoError(tb, err)
	tb.Cleanup(stop)
	return kv.(*leasingKV)
}

// counted is a client that counts its unary requests.
type counted struct {
	*clientv3.Client
	requests chan string
}

func newCounted(tb testing.TB) *counted {
	tb.Helper()
	c := &counted{requests: make(chan string, 1<<16)}
	c.Client = newClientOf(tb, clientv3.Config{Endpoints: shared.Endpoints(),
		DialOptions: []grpc.DialOption{
			grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any,
				cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				c.requests <- method
				return invoke(ctx, method, req, reply, cc, opts...)
			}),
		}})
	return c
}

// count returns how many requests f makes.
func (c *counted) count(f func()) int {
	before := len(c.requests)
	f()
	return len(c.requests) - before
}

func testContext(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// value reads a key, which must exist.
func value(tb testing.TB, kv clientv3.KV, key string) string {
	tb.Helper()
	resp, err := kv.Get(testContext(tb), key)
	require.NoError(tb, err)
	require.Len(tb, resp.Kvs, 1, key)
	require.Equal(tb, key, string(resp.Kvs[0].Key))
	return string(resp.Kvs[0].Value)
}

func put(
	tb testing.TB, kv clientv3.KV, key, value string, opts ...clientv3.OpOption,
) *clientv3.PutResponse {
	tb.Helper()
	resp, err := kv.Put(testContext(tb), key, value, opts...)
	require.NoError(tb, err)
	return resp
}

// leaseKeyOf returns the lease key of a key, which marks that a client owns the key. It returns nil
// if no client owns it.
func leaseKeyOf(tb testing.TB, cli *clientv3.Client, key string) *mvccpb.KeyValue {
	tb.Helper()
	resp, err := cli.Get(testContext(tb), pfx+key)
	require.NoError(tb, err)
	if len(resp.Kvs) == 0 {
		return nil
	}
	return resp.Kvs[0]
}

// owns reads a key until the KV owns (caches) it. This may take a while, because a KV does not
// cache a key again soon after it has released the key.
func owns(tb testing.TB, l *leasingKV, key string) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		_, err := l.Get(testContext(tb), key)
		require.NoError(tb, err)
		resp, _ := l.cache.get(key, nil)
		return resp != nil
	}, eventually, tick, "%q is not cached", key)
}

// isCached reports whether a key is answered from the cache.
func (l *leasingKV) isCached(key string) bool {
	resp, _ := l.cache.get(key, nil)
	return resp != nil
}
