package endpoints_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

var shared etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Around(m)) }

// newClient makes a client that is closed with the test.
func newClient(t *testing.T, eps ...string) *clientv3.Client {
	t.Helper()
	cli, err := clientv3.New(clientv3.Config{Endpoints: eps, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cli.Close()) })
	return cli
}

// sharedClient makes a client of the shared cluster, on which it deletes what an
// earlier run left below the targets.
func sharedClient(t *testing.T, targets ...string) *clientv3.Client {
	t.Helper()
	cli := newClient(t, shared.Endpoints()...)
	for _, target := range targets {
		_, err := cli.Delete(t.Context(), target+"/", clientv3.WithPrefix())
		require.NoError(t, err)
	}
	return cli
}

func newManager(t *testing.T, cli *clientv3.Client, target string) endpoints.Manager {
	t.Helper()
	m, err := endpoints.NewManager(cli, target)
	require.NoError(t, err)
	return m
}

// testContext returns a context that ends with the test, or after 30 seconds.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// next returns the next updates from the channel, and fails the test if none arrive.
func next(t *testing.T, ch endpoints.WatchChannel) []*endpoints.Update {
	t.Helper()
	select {
	case ups, ok := <-ch:
		require.True(t, ok, "the watch channel is closed")
		require.NotEmpty(t, ups)
		return ups
	case <-time.After(10 * time.Second):
		require.FailNow(t, "no update")
		return nil
	}
}

// collect receives n updates, in any number of slices.
func collect(t *testing.T, ch endpoints.WatchChannel, n int) []*endpoints.Update {
	t.Helper()
	var ups []*endpoints.Update
	for len(ups) < n {
		ups = append(ups, next(t, ch)...)
	}
	require.Len(t, ups, n)
	return ups
}

// requireClosed reads the rest of the channel, and fails the test if the channel is not closed.
func requireClosed(t *testing.T, ch endpoints.WatchChannel) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-deadline:
			require.FailNow(t, "the watch channel stays open")
		}
	}
}

// fold applies updates to a map, as a consumer does.
func fold(eps endpoints.Key2EndpointMap, ups []*endpoints.Update) {
	for _, up := range ups {
		if up.Op == endpoints.Delete {
			delete(eps, up.Key)
		} else {
			eps[up.Key] = up.Endpoint
		}
	}
}

func add(key string, ep endpoints.Endpoint) *endpoints.Update {
	return &endpoints.Update{Op: endpoints.Add, Key: key, Endpoint: ep}
}

func del(key string) *endpoints.Update {
	return &endpoints.Update{Op: endpoints.Delete, Key: key}
}
