package leasing

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	public "go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
	"go.etcd.io/etcd/client/v3/namespace"
)

// cutOff starts a cluster with two clients. The network of the client far can fail, through the
// proxy. The network of the client near cannot.
func cutOff(t *testing.T) (far, near *clientv3.Client, proxy *faultnet.Proxy) {
	t.Helper()
	cluster := etcdtest.Start(t)
	proxy = faultnet.New(t, cluster.Members()[0].Address())
	return newClient(t, proxy.Addr()), newClient(t, cluster.Endpoints()...), proxy
}

// TestLostSessionLosesNoWrite: a client that is cut off does not answer from its cache after its
// lease may have expired. Other clients can write then. When the client is connected again, it
// makes a new session.
func TestLostSessionLosesNoWrite(t *testing.T) {
	far, near, proxy := cutOff(t)
	kv, other := newKV(t, far, concurrency.WithTTL(2)), newKV(t, near)
	owns(t, kv, "k")
	lost := kv.cache.epoch.lease

	proxy.Blackhole(faultnet.Both)
	cut := time.Now()
	require.True(t, kv.isCached("k"), "as long as its lease is certain to live")
	put(t, other, "k", "by another client") // waits for the lease
	require.False(t, kv.isCached("k"))
	require.Greater(t, time.Since(cut), time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := kv.Get(ctx, "k")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	proxy.Heal()
	require.Equal(t, "by another client", value(t, kv, "k"))
	owns(t, kv, "k")
	require.NotEqual(t, lost, kv.cache.epoch.lease)
	require.Equal(t, "by another client", value(t, kv, "k"))
}

// TestCertaintyEndsWithTheClock: the cache stops answering at the time at which the session's lease
// may have expired, even if no goroutine has noticed it.
func TestCertaintyEndsWithTheClock(t *testing.T) {
	plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	owns(t, kv, "k")
	now := kv.cache.epoch
	for name, tc := range map[string]struct {
		until   time.Time
		renewed bool
		cached  bool
	}{
		"never renewed":          {until: time.Now(), cached: false},
		"made a moment ago":      {until: time.Now().Add(time.Minute), cached: true},
		"made long ago, renewed": {renewed: true, cached: true},
		"renewed and not made yet": {until: time.Now().Add(time.Minute), renewed: true,
			cached: true},
	} {
		end := &clientv3.KeepAliveEnd{}
		if tc.renewed {
			require.Eventually(t, func() bool {
				return !now.keepAliveEnd.Deadline().IsZero()
			}, eventually, tick)
			end = now.keepAliveEnd
		}
		kv.cache.mu.Lock()
		kv.cache.ownerships["k"].epoch = &epoch{lease: now.lease, certainUntil: tc.until,
			keepAliveEnd: end,
			ctx:          now.ctx}
		kv.cache.mu.Unlock()
		require.Equal(t, tc.cached, kv.isCached("k"), name)
	}
}

// TestStopGivesUpAllKeys: the function that closes a leasing KV releases all its keys at once. The
// KV then works without a cache.
func TestStopGivesUpAllKeys(t *testing.T) {
	ctx, plain, cli := testContext(t), plainClient(t), newCounted(t)
	made, stop, err := NewKV(cli.Client, pfx)
	require.NoError(t, err)
	kv := made.(*leasingKV)
	owns(t, kv, "a")
	owns(t, kv, "b")
	lease := kv.cache.epoch.lease
	stop()
	left, err := plain.Get(ctx, pfx, clientv3.WithPrefix())
	require.NoError(t, err)
	require.Empty(t, left.Kvs)
	ttl, err := plain.TimeToLive(ctx, lease)
	require.NoError(t, err)
	require.EqualValues(t, -1, ttl.TTL)

	put(t, kv, "a", "v")
	for range 2 {
		require.Equal(t, 1, cli.count(func() { require.Equal(t, "v", value(t, kv, "a")) }))
	}
	stop()
}

// TestStopDoesNotDependOnServers: if no server answers, the function that closes a leasing KV waits
// for at most the TTL. After the client was closed, it does not wait at all.
func TestStopDoesNotDependOnServers(t *testing.T) {
	far, _, proxy := cutOff(t)
	kv, stop, err := NewKV(far, pfx, concurrency.WithTTL(2))
	require.NoError(t, err)
	owns(t, kv.(*leasingKV), "k")
	proxy.Blackhole(faultnet.Both)
	took := testclient.Stopwatch(t)
	stop()
	require.Less(t, took(), eventually)

	proxy.Heal()
	_, stop, err = NewKV(far, pfx)
	require.NoError(t, err)
	proxy.Blackhole(faultnet.Both)
	require.NoError(t, far.Close())
	took = testclient.Stopwatch(t)
	stop()
	require.Less(t, took(), eventually, "of a TTL of 60 s")
}

// TestStopWhileThereIsNoSession: the function that closes a leasing KV returns even while the
// server does not answer the KV's request for a lease.
func TestStopWhileThereIsNoSession(t *testing.T) {
	fake := etcdfake.Start(t)
	background, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	_, stop, err := NewKV(newClient(t, fake.Addr()), pfx, concurrency.WithTTL(1),
		concurrency.WithContext(background))
	require.NoError(t, err)
	fake.Delay("LeaseGrant", time.Hour)
	grants := fake.Calls("LeaseGrant")
	fake.Delay("LeaseKeepAlive", time.Hour)
	require.Eventually(t, func() bool {
		return fake.Calls("LeaseGrant") > grants
	}, eventually, tick)
	took := testclient.Stopwatch(t)
	stop()
	require.Less(t, took(), eventually)
}

// TestContextOfOptionsEndsTheMemory: after the context that was passed with concurrency.WithContext
// has ended, the KV caches nothing and makes no session.
func TestContextOfOptionsEndsTheMemory(t *testing.T) {
	fake := etcdfake.Start(t)
	background, cancel := context.WithCancel(t.Context())
	kv := newKV(t, newClient(t, fake.Addr()), concurrency.WithContext(background))
	owns(t, kv, "k")
	cancel()
	require.Eventually(t, func() bool { return !kv.isCached("k") }, eventually, tick)
	_, err := kv.Get(testContext(t), "k")
	require.NoError(t, err)
	kv.sessions.running.Wait()
	require.Equal(t, 1, fake.Calls("LeaseGrant"))
	require.Empty(t, fake.Leases())
}

func TestNewKVReturnsErrors(t *testing.T) {
	fake := etcdfake.Start(t)
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{fake.Addr()},
		Logger: zap.NewNop()})
	require.NoError(t, err)
	_, _, err = NewKV(cli, "")
	require.ErrorContains(t, err, "prefix")

	background, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = NewKV(cli, pfx, concurrency.WithContext(background))
	require.ErrorIs(t, err, context.Canceled)

	_, _, err = NewKV(cli, pfx, concurrency.WithLease(12345)) // there is no such lease
	require.Error(t, err)
	require.NoError(t, cli.Close())
	_, _, err = NewKV(cli, pfx)
	require.True(t, clientv3.IsConnCanceled(err), "%v", err)
}

// TestSessionsAreReplacedWithRestraint: while the server refuses to grant a lease, the client sends
// only a few requests a second.
func TestSessionsAreReplacedWithRestraint(t *testing.T) {
	fake := etcdfake.Start(t)
	kv := newKV(t, newClient(t, fake.Addr()), concurrency.WithTTL(60))
	fake.Unary("LeaseGrant", func(context.Context, proto.Message) (proto.Message, error) {
		return nil, errRefused
	})
	before := fake.Calls("LeaseGrant")
	_, err := kv.sessions.client.Revoke(testContext(t), kv.cache.epoch.lease)
	require.NoError(t, err)
	time.Sleep(time.Second) // count requests for one second
	asked := fake.Calls("LeaseGrant") - before
	require.Greater(t, asked, 1)
	require.Less(t, asked, 20)
	fake.Unary("LeaseGrant", nil)
	owns(t, kv, "k")
}

// TestSessionsAreReplacedHoweverOneIsLost: after the client has lost its session, it tries to make
// new ones until one succeeds. It goes on if the lease of a new session expires at once, and if the
// server answers with a Canceled error, which does not mean that the user's context has ended.
func TestSessionsAreReplacedHoweverOneIsLost(t *testing.T) {
	for name, fail := range map[string]func(fake *etcdfake.Server) (end func()){
		"expired while it was made": func(fake *etcdfake.Server) func() {
			thawed := make(chan struct{})
			fake.On("LeaseKeepAlive", func(call *public.Call) public.Action {
				select {
				case <-thawed:
				case <-call.Context().Done():
				}
				return public.Pass()
			})
			return func() { close(thawed) }
		},
		"cancelled by the server": func(fake *etcdfake.Server) func() {
			fake.On("LeaseGrant", func(*public.Call) public.Action {
				return public.Refuse(status.Error(codes.Canceled, "by the server"))
			})
			return func() { fake.On("LeaseGrant", nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.Start(t)
			kv := newKV(t, newClient(t, fake.Addr()), concurrency.WithTTL(1))
			end := fail(fake)
			before := fake.Calls("LeaseGrant")
			_, err := kv.sessions.client.Revoke(testContext(t), kv.cache.epoch.lease)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				return fake.Calls("LeaseGrant") > before+1
			}, eventually, tick)
			end()
			owns(t, kv, "k")
		})
	}
}

// TestGivenLeaseWithLeaseKeys: a program can give a KV a lease (concurrency.WithLease) to which
// lease keys are still attached, for example those of a previous process. The KV deletes these
// lease keys at the start. Otherwise they would block all writes of their keys for as long as the
// lease lives.
func TestGivenLeaseWithLeaseKeys(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	lease, err := plain.Grant(ctx, 3)
	require.NoError(t, err)
	put(t, plain, pfx+"k", "", clientv3.WithLease(lease.ID))
	put(t, plain, pfx+"asked for", revokeValue, clientv3.WithLease(lease.ID))
	put(t, plain, "something else", "", clientv3.WithLease(lease.ID))
	kv := newKV(t, newClient(t, shared.Endpoints()...), concurrency.WithLease(lease.ID))
	other := newKV(t, newClient(t, shared.Endpoints()...))
	put(t, other, "k", "v")
	put(t, other, "asked for", "v")
	require.Equal(t, "v", value(t, kv, "k"))
	left, err := plain.Get(ctx, "something else")
	require.NoError(t, err)
	require.Len(t, left.Kvs, 1)
}

// TestInANamespace: two clients with leasing KVs in the same namespace can write each other's keys.
// This includes the key of an orphaned lease key, which is attached to a client's lease although
// the client does not cache the key.
func TestInANamespace(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	inside := func() *clientv3.Client {
		cli := newClient(t, shared.Endpoints()...)
		cli.KV, cli.Watcher, cli.Lease = namespace.NewKV(cli.KV, "n/"),
			namespace.NewWatcher(cli.Watcher, "n/"), namespace.NewLease(cli.Lease, "n/")
		return cli
	}
	first, second := inside(), inside()
	lease, err := first.Grant(ctx, 60)
	require.NoError(t, err)
	put(t, first, pfx+"orphan", "", clientv3.WithLease(lease.ID))
	owner, writer := newKV(t, first, concurrency.WithLease(lease.ID)), newKV(t, second)
	owns(t, owner, "k")
	require.NotNil(t, leaseKeyOf(t, first, "k"))
	require.Nil(t, leaseKeyOf(t, plain, "k"))
	put(t, writer, "k", "v")
	put(t, writer, "orphan", "v")
	require.Equal(t, "v", value(t, owner, "k"))
	require.Equal(t, "v", value(t, plain, "n/k"))
	_, err = writer.Delete(ctx, "", clientv3.WithPrefix())
	require.NoError(t, err)
}
