package leasing

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// callsOf returns calls of each kind. The KV owns (caches) the key "owned", and not "k".
func callsOf(kv *leasingKV) map[string]func(ctx context.Context) error {
	put := clientv3.OpPut("owned", "v")
	return map[string]func(ctx context.Context) error{
		"get": func(ctx context.Context) error {
			_, err := kv.Get(ctx, "k")
			return err
		},
		"get of a range": func(ctx context.Context) error {
			_, err := kv.Get(ctx, "k", clientv3.WithPrefix())
			return err
		},
		"put": func(ctx context.Context) error {
			_, err := kv.Put(ctx, "k", "v")
			return err
		},
		"delete": func(ctx context.Context) error {
			_, err := kv.Delete(ctx, "k")
			return err
		},
		"delete of owned": func(ctx context.Context) error {
			_, err := kv.Delete(ctx, "owned", clientv3.WithPrefix())
			return err
		},
		"transaction": func(ctx context.Context) error {
			_, err := kv.Txn(ctx).Then(put).Commit()
			return err
		},
		"transaction, get": func(ctx context.Context) error {
			_, err := kv.Txn(ctx).Then(clientv3.OpGet("k")).Commit()
			return err
		},
		"do": func(ctx context.Context) error {
			_, err := kv.Do(ctx, put)
			return err
		},
		"compact": func(ctx context.Context) error {
			_, err := kv.Compact(ctx, 1)
			return err
		},
	}
}

// TestContextErrorsAreBare: without a server, a call ends when its context ends, and returns the
// context's error unwrapped, because callers compare it with ==.
func TestContextErrorsAreBare(t *testing.T) {
	fake := etcdfake.Start(t)
	kv := newKV(t, newClient(t, fake.Addr()), concurrency.WithTTL(2))
	owns(t, kv, "owned")
	fake.Stop()
	lost, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	// After this put, the client has noticed that the connection is lost.
	_, _ = kv.Put(lost, "k", "v")
	cancel()
	for name, call := range callsOf(kv) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := call(ctx)
		require.True(t, err == context.DeadlineExceeded, "%s: %v", name, err)
		cancel()

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		err = call(ctx)
		require.True(t, err == context.Canceled, "%s: %v", name, err)
	}
	require.Eventually(t, func() bool { return !kv.isCached("owned") }, eventually, tick)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := kv.Get(ctx, "owned")
	require.Equal(t, ctx.Err(), err, "of a lease that has expired")
}

// TestStopWithoutAServer: without a server, the function that closes a leasing KV cannot revoke the
// lease. It returns after 5 seconds, although the TTL is 60 seconds. The lease expires on the
// server.
func TestStopWithoutAServer(t *testing.T) {
	fake := etcdfake.Start(t)
	kv, stop, err := NewKV(newClient(t, fake.Addr()), "pfx/")
	require.NoError(t, err)
	_, err = kv.Get(t.Context(), "k")
	require.NoError(t, err)
	fake.Stop()
	took := testclient.Stopwatch(t)
	stop()
	require.Less(t, took(), 20*time.Second, "a session's TTL is 60 s")
}

// TestNewKVEndsWithItsContext: a member grants a lease and then does not answer. NewKV returns when
// its context ends, and does not wait until the lease is revoked.
func TestNewKVEndsWithItsContext(t *testing.T) {
	fake := etcdfake.Start(t)
	cli := newClient(t, fake.Addr())
	fake.Delay("LeaseKeepAlive", time.Hour)
	fake.Delay("LeaseRevoke", time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	took := testclient.Stopwatch(t)
	_, _, err := NewKV(cli, "pfx/", concurrency.WithContext(ctx))
	require.Equal(t, context.DeadlineExceeded, err)
	require.Less(t, took(), 5*time.Second, "a session's TTL is 60 s")
}

// TestNewKVThatFailsRevokesWhatItWasGranted: if NewKV fails, it revokes the lease that it requested
// from the server. It does not revoke a lease that the caller passed (concurrency.WithLease),
// because the caller may have attached other keys to this lease.
func TestNewKVThatFailsRevokesWhatItWasGranted(t *testing.T) {
	fake := etcdfake.Start(t)
	cli := newClient(t, fake.Addr())
	given, err := cli.Grant(t.Context(), 60)
	require.NoError(t, err)
	fake.KeepAlive(func(context.Context, func() (*pb.LeaseKeepAliveRequest, error),
		func(*pb.LeaseKeepAliveResponse) error) error {
		return status.Error(codes.PermissionDenied, "no renewal")
	})
	_, _, err = NewKV(cli, "pfx/", concurrency.WithLease(given.ID))
	require.ErrorContains(t, err, "no renewal")
	require.Equal(t, []clientv3.LeaseID{given.ID}, testclient.LeaseIDs(fake.Leases()))
	_, _, err = NewKV(cli, "pfx/")
	require.ErrorContains(t, err, "no renewal")
	require.Equal(t, []clientv3.LeaseID{given.ID}, testclient.LeaseIDs(fake.Leases()))
}
