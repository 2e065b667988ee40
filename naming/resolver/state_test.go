package resolver

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	gresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// fakeConn keeps the states that a resolver passes to it.
type fakeConn struct {
	gresolver.ClientConn

	mu     sync.Mutex
	states []gresolver.State
	errs   []error
}

func (c *fakeConn) UpdateState(s gresolver.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, s)
	return nil
}

func (c *fakeConn) ReportError(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

func (c *fakeConn) last() gresolver.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.states) == 0 {
		return gresolver.State{}
	}
	return c.states[len(c.states)-1]
}

func (c *fakeConn) errors() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.errs)
}

func newFake(t *testing.T) (*etcdfake.Cluster, *clientv3.Client) {
	t.Helper()
	fake := etcdfake.New(t)
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{fake.Listen()}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cli.Close()) })
	return fake, cli
}

func target(t *testing.T, s string) gresolver.Target {
	t.Helper()
	u, err := url.Parse(s)
	require.NoError(t, err)
	return gresolver.Target{URL: *u}
}

// TestMetadataReachesPolicies: the resolver passes each address with its metadata, in the order of
// the endpoints' keys. It sets both Addresses and Endpoints of the state.
func TestMetadataReachesPolicies(t *testing.T) {
	_, cli := newFake(t)
	m, err := endpoints.NewManager(cli, "a/b")
	require.NoError(t, err)
	for key, md := range map[string]any{"a/b/2": "two", "a/b/1": map[string]any{"w": 1},
		"a/b/3": nil} {
		require.NoError(t, m.AddEndpoint(t.Context(), key,
			endpoints.Endpoint{Addr: key, Metadata: md}))
	}
	want := []gresolver.Address{
		{Addr: "a/b/1", Metadata: &map[string]any{"w": 1.0}}, {Addr: "a/b/2", Metadata: "two"},
		{Addr: "a/b/3"},
	}
	b, err := NewBuilder(cli)
	require.NoError(t, err)
	require.Equal(t, "etcd", b.Scheme())
	for _, uri := range []string{"etcd:///a/b", "etcd://authority/a/b", "etcd:a/b"} {
		cc := &fakeConn{}
		r, err := b.Build(target(t, uri), cc, gresolver.BuildOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			return len(cc.last().Addresses) == 3
		}, time.Minute, time.Millisecond, uri)
		r.ResolveNow(gresolver.ResolveNowOptions{})
		r.Close()
		require.Equal(t, want, cc.last().Addresses)
		require.Len(t, cc.last().Endpoints, 3)
		for i, ep := range cc.last().Endpoints {
			require.Equal(t, want[i:i+1], ep.Addresses)
		}
	}
}

// TestPointerToMetadataIsKept: byPointer returns the previous pointer to a JSON object or array if
// the new value equals the previous value.
func TestPointerToMetadataIsKept(t *testing.T) {
	object := func(n float64) any { return map[string]any{"n": []any{n}} }
	array := func(n float64) any { return []any{object(n)} }
	for _, value := range []func(float64) any{object, array} {
		p := byPointer(value(1), "text")
		require.True(t, p == byPointer(value(1), p))
		require.False(t, p == byPointer(value(2), p))
	}
	for _, plain := range []any{"text", 1.0, true, nil} {
		require.Equal(t, plain, byPointer(plain, byPointer(object(1), nil)))
	}
}

func TestBuildRefusesWhatCannotBe(t *testing.T) {
	_, cli := newFake(t)
	for b, uri := range map[gresolver.Builder]string{builder{cli}: "etcd:///",
		builder{}: "etcd:///svc"} {
		_, err := b.Build(target(t, uri), &fakeConn{}, gresolver.BuildOptions{})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
		require.ErrorContains(t, err, uri)
	}
}

// TestBuildWaitsForNothing: neither Build nor Close waits for a mute server.
func TestBuildWaitsForNothing(t *testing.T) {
	fake, cli := newFake(t)
	fake.On("Range", func(*etcdfake.Call) etcdfake.Action { return etcdfake.Delay(time.Hour) })
	took := testclient.Stopwatch(t)
	r, err := builder{cli}.Build(target(t, "etcd:///svc"), &fakeConn{}, gresolver.BuildOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return fake.Calls("Range") == 1
	}, time.Minute, time.Millisecond)
	r.Close()
	require.Less(t, took(), 10*time.Second)
}

// TestFailingListsAreSpaced: if etcd refuses to list the endpoints, the resolver reports the error
// and tries again. When a list succeeds, the resolver passes the endpoints to the connection.
func TestFailingListsAreSpaced(t *testing.T) {
	fake, cli := newFake(t)
	fake.On("Range", func(call *etcdfake.Call) etcdfake.Action {
		if call.Number <= 3 {
			return etcdfake.Refuse(status.Error(codes.PermissionDenied, "no"))
		}
		return etcdfake.Pass()
	})
	_, err := cli.Put(context.WithoutCancel(t.Context()), "svc/a", `{"Addr":"a"}`)
	require.NoError(t, err)
	cc := &fakeConn{}
	r, err := builder{cli}.Build(target(t, "etcd:///svc"), cc, gresolver.BuildOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return len(cc.last().Addresses) == 1
	}, time.Minute, time.Millisecond)
	require.Equal(t, 3, cc.errors())
	require.Equal(t, 4, fake.Calls("Range"))
	r.Close()
}
