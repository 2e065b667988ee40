package endpoints_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

func TestWatchBeginsWithTheList(t *testing.T) {
	ctx, cli := testContext(t), sharedClient(t, "begin")
	m := newManager(t, cli, "begin")
	empty, err := m.NewWatchChannel(ctx)
	require.NoError(t, err)
	for _, key := range []string{"begin/c", "begin/a", "begin/b"} {
		require.NoError(t, m.AddEndpoint(ctx, key, ep{Addr: key}))
	}
	require.Equal(t, add("begin/c", ep{Addr: "begin/c"}), collect(t, empty, 3)[0],
		"nothing is said about an empty list")

	full, err := m.NewWatchChannel(ctx)
	require.NoError(t, err)
	require.Equal(t, []*endpoints.Update{
		add("begin/a", ep{Addr: "begin/a"}), add("begin/b", ep{Addr: "begin/b"}),
		add("begin/c", ep{Addr: "begin/c"}),
	}, next(t, full))
	require.NoError(t, m.AddEndpoint(ctx, "begin/d", ep{Addr: "d", Metadata: []any{"m"}}))
	require.Equal(t, []*endpoints.Update{add("begin/d", ep{Addr: "d", Metadata: []any{"m"}})},
		next(t, full))
}

// TestWatchKeepsTheLastEndpointOfAKey: if a program puts a value that does not decode to an
// endpoint, the watch channel delivers no update for the key.
func TestWatchKeepsTheLastEndpointOfAKey(t *testing.T) {
	ctx, cli := testContext(t), sharedClient(t, "junk")
	m := newManager(t, cli, "junk")
	ch, err := m.NewWatchChannel(ctx)
	require.NoError(t, err)
	require.NoError(t, m.AddEndpoint(ctx, "junk/a", ep{Addr: "a"}))
	_, err = cli.Put(ctx, "junk/a", "not json")
	require.NoError(t, err)
	require.NoError(t, m.DeleteEndpoint(ctx, "junk/a"))
	require.Equal(t, []*endpoints.Update{add("junk/a", ep{Addr: "a"}), del("junk/a")},
		collect(t, ch, 2))
}

// TestCompactedWatchListsAgain: if the events that a watch missed were compacted, the channel
// delivers the difference between the last endpoints and the current ones.
func TestCompactedWatchListsAgain(t *testing.T) {
	ctx := testContext(t)
	cluster := etcdtest.Start(t)
	proxy := faultnet.New(t, cluster.Members()[0].Address())
	near, far := newClient(t, cluster.Endpoints()...), newClient(t, proxy.Addr())
	m := newManager(t, near, "svc")
	for _, name := range []string{"gone", "stays", "changes", "junk"} {
		require.NoError(t, m.AddEndpoint(ctx, "svc/"+name, ep{Addr: name}))
	}
	ch, err := newManager(t, far, "svc").NewWatchChannel(ctx)
	require.NoError(t, err)
	require.Len(t, next(t, ch), 4)

	proxy.Refuse()
	proxy.Reset()
	require.NoError(t, m.DeleteEndpoint(ctx, "svc/gone"))
	require.NoError(t, m.AddEndpoint(ctx, "svc/changes", ep{Addr: "changed"}))
	require.NoError(t, m.AddEndpoint(ctx, "svc/new", ep{Addr: "new"}))
	require.NoError(t, m.AddEndpoint(ctx, "svc/brief", ep{Addr: "brief"}))
	require.NoError(t, m.DeleteEndpoint(ctx, "svc/brief"))
	last, err := near.Put(ctx, "svc/junk", "not json")
	require.NoError(t, err)
	_, err = near.Compact(ctx, last.Header.Revision)
	require.NoError(t, err)

	proxy.Heal()
	require.Equal(t, []*endpoints.Update{
		add("svc/changes", ep{Addr: "changed"}), del("svc/gone"), add("svc/new", ep{Addr: "new"}),
	}, next(t, ch))
	require.NoError(t, m.AddEndpoint(ctx, "svc/after", ep{Addr: "after"}))
	require.Equal(t, []*endpoints.Update{add("svc/after", ep{Addr: "after"})}, next(t, ch))
}

// TestWatchOutlivesTheCluster: a watch channel still delivers updates after restarts of all
// members.
func TestWatchOutlivesTheCluster(t *testing.T) {
	ctx := testContext(t)
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	cli := newClient(t, cluster.Endpoints()...)
	m := newManager(t, cli, "svc")
	ch, err := m.NewWatchChannel(ctx)
	require.NoError(t, err)

	eps := endpoints.Key2EndpointMap{}
	for round := range 3 {
		key := fmt.Sprintf("svc/%d", round)
		require.NoError(t, m.AddEndpoint(ctx, key, ep{Addr: key}))
		for _, known := eps[key]; !known; _, known = eps[key] {
			fold(eps, next(t, ch))
		}
		cluster.Kill()
		require.NoError(t, cluster.Restart())
	}
	require.Len(t, eps, 3)
}

// TestLosingTheLeaderLosesNoWatch: a watch channel still delivers updates after the leader was
// killed.
func TestLosingTheLeaderLosesNoWatch(t *testing.T) {
	ctx := testContext(t)
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	cli := newClient(t, cluster.Endpoints()...)
	m := newManager(t, cli, "svc")
	ch, err := m.NewWatchChannel(ctx)
	require.NoError(t, err)

	cluster.Leader().Kill()
	require.Eventually(t, func() bool {
		return m.AddEndpoint(ctx, "svc/a", ep{Addr: "a"}) == nil
	}, time.Minute, 10*time.Millisecond, "a new leader")
	require.Equal(t, add("svc/a", ep{Addr: "a"}), next(t, ch)[0])
}

// TestWatchEndsWithoutItsConsumer: a watch channel is closed when the context ends or the client is
// closed, even if nothing reads from it. TestMain looks for goroutines that are left.
func TestWatchEndsWithoutItsConsumer(t *testing.T) {
	for name, end := range map[string]func(cancel context.CancelFunc, cli *clientv3.Client){
		"context": func(cancel context.CancelFunc, _ *clientv3.Client) { cancel() },
		"client":  func(_ context.CancelFunc, cli *clientv3.Client) { _ = cli.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			writer, cli := sharedClient(t, "hung-"+name), newClient(t, shared.Endpoints()...)
			m := newManager(t, writer, "hung-"+name)
			ch, err := newManager(t, cli, "hung-"+name).NewWatchChannel(ctx)
			require.NoError(t, err)
			for i := range 50 {
				require.NoError(t, m.AddEndpoint(ctx, fmt.Sprintf("hung-%s/%d", name, i),
					ep{Addr: "a"}))
			}
			require.Eventually(t, func() bool {
				return len(ch) == cap(ch)
			}, time.Minute, time.Millisecond)
			end(cancel, cli)
			requireClosed(t, ch)
		})
	}
}

func TestNewWatchChannelReturnsErrors(t *testing.T) {
	cli := newClient(t, shared.Endpoints()...)
	m := newManager(t, cli, "svc")
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	_, err := m.NewWatchChannel(ctx)
	require.ErrorIs(t, err, context.Canceled)

	require.NoError(t, cli.Close())
	_, err = m.NewWatchChannel(testContext(t))
	require.True(t, clientv3.IsConnCanceled(err), "%v", err)
	require.False(t, errors.Is(err, context.DeadlineExceeded))
}
