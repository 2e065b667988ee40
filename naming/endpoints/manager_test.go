package endpoints_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

type ep = endpoints.Endpoint

func TestNewManagerNeedsClientAndTarget(t *testing.T) {
	cli := newClient(t, shared.Endpoints()...)
	_, err := endpoints.NewManager(nil, "svc")
	require.ErrorContains(t, err, "client")
	_, err = endpoints.NewManager(cli, "")
	require.ErrorContains(t, err, "target")
}

// TestValuesAreWhatOtherProgramsReadAndWrite: AddEndpoint writes the same JSON as other clients of
// etcd, and List reads the variants of this JSON that they may write.
func TestValuesAreWhatOtherProgramsReadAndWrite(t *testing.T) {
	ctx, cli := testContext(t), sharedClient(t, "format")
	m := newManager(t, cli, "format")

	for _, tc := range []struct {
		ep    ep
		value string
		read  ep
	}{
		{ep{Addr: "1.2.3.4:5"}, `{"Op":0,"Addr":"1.2.3.4:5","Metadata":null}`,
			ep{Addr: "1.2.3.4:5"}},
		{ep{Addr: "a", Metadata: "str"}, `{"Op":0,"Addr":"a","Metadata":"str"}`,
			ep{Addr: "a", Metadata: "str"}},
		{ep{Addr: "a", Metadata: 4}, `{"Op":0,"Addr":"a","Metadata":4}`,
			ep{Addr: "a", Metadata: 4.0}},
		{ep{Metadata: map[string]any{"w": 3}}, `{"Op":0,"Addr":"","Metadata":{"w":3}}`,
			ep{Metadata: map[string]any{"w": 3.0}}},
	} {
		require.NoError(t, m.AddEndpoint(ctx, "format/x", tc.ep))
		resp, err := cli.Get(ctx, "format/x")
		require.NoError(t, err)
		require.Equal(t, tc.value, string(resp.Kvs[0].Value))
		eps, err := m.List(ctx)
		require.NoError(t, err)
		require.Equal(t, endpoints.Key2EndpointMap{"format/x": tc.read}, eps)
	}

	require.NoError(t, m.DeleteEndpoint(ctx, "format/x"))
	for key, value := range map[string]string{
		"format/op":     `{"Op":1,"Addr":"op"}`, // the key exists, whatever Op says
		"format/lower":  `{"op":0,"addr":"lower"}`,
		"format/bare":   `{"Addr":"bare"}`,
		"format/junk":   `not json`,
		"format/number": `7`,
		"format/empty":  ``,
	} {
		_, err := cli.Put(ctx, key, value)
		require.NoError(t, err)
	}
	eps, err := m.List(ctx)
	require.NoError(t, err)
	require.Equal(t, endpoints.Key2EndpointMap{
		"format/op": {Addr: "op"}, "format/lower": {Addr: "lower"}, "format/bare": {Addr: "bare"},
	}, eps)
}

// TestTargetEndsAtItsSlash: the keys of a target begin with the target and a slash. So the keys of
// "svc2" do not belong to "svc".
func TestTargetEndsAtItsSlash(t *testing.T) {
	ctx, cli := testContext(t), sharedClient(t, "svc", "svc2")
	one, two := newManager(t, cli, "svc"), newManager(t, cli, "svc2")
	ch, err := one.NewWatchChannel(ctx)
	require.NoError(t, err)

	require.NoError(t, two.AddEndpoint(ctx, "svc2/a", ep{Addr: "two"}))
	_, err = cli.Put(ctx, "svc", `{"Addr":"the target itself"}`)
	require.NoError(t, err)
	require.NoError(t, one.AddEndpoint(ctx, "svc/a", ep{Addr: "one"}))

	require.Equal(t, []*endpoints.Update{add("svc/a", ep{Addr: "one"})}, next(t, ch))
	eps, err := one.List(ctx)
	require.NoError(t, err)
	require.Equal(t, endpoints.Key2EndpointMap{"svc/a": {Addr: "one"}}, eps)
	eps, err = two.List(ctx)
	require.NoError(t, err)
	require.Equal(t, endpoints.Key2EndpointMap{"svc2/a": {Addr: "two"}}, eps)
}

func TestUpdateRefusesBeforeSending(t *testing.T) {
	ctx, fake := testContext(t), etcdfake.New(t)
	m := newManager(t, newClient(t, fake.Listen()), "svc")
	good := endpoints.NewAddUpdateOpts("svc/a", ep{Addr: "a"})

	for name, bad := range map[string]*endpoints.UpdateWithOpts{
		`"svc2/a" does not start with "svc/"`: endpoints.NewAddUpdateOpts("svc2/a", ep{}),
		`"svc" does not start with "svc/"`:    endpoints.NewDeleteUpdateOpts("svc"),
		`"" does not start with "svc/"`:       endpoints.NewDeleteUpdateOpts(""),
		"unknown operation 7":                 {Update: endpoints.Update{Op: 7, Key: "svc/a"}},
		"chan int": endpoints.NewAddUpdateOpts("svc/a",
			ep{Metadata: make(chan int)}),
		"nil": nil,
	} {
		err := m.Update(ctx, []*endpoints.UpdateWithOpts{good, bad})
		require.ErrorContains(t, err, name)
		require.Equal(t, codes.InvalidArgument, status.Code(err), name)
	}
	require.ErrorContains(t, m.AddEndpoint(ctx, "other", ep{}), `"other"`)
	require.ErrorContains(t, m.DeleteEndpoint(ctx, "other"), `"other"`)
	require.NoError(t, m.Update(ctx, nil))
	require.Zero(t, fake.Calls("Txn"))
}

func TestUpdateIsOneTransaction(t *testing.T) {
	ctx, cli := testContext(t), sharedClient(t, "multi")
	m := newManager(t, cli, "multi")
	ch, err := m.NewWatchChannel(ctx)
	require.NoError(t, err)
	require.NoError(t, m.AddEndpoint(ctx, "multi/old", ep{Addr: "old"}))
	next(t, ch)
	lease, err := cli.Grant(ctx, 60)
	require.NoError(t, err)

	require.NoError(t, m.Update(ctx, []*endpoints.UpdateWithOpts{
		endpoints.NewAddUpdateOpts("multi/b", ep{Addr: "b"}, clientv3.WithLease(lease.ID)),
		endpoints.NewDeleteUpdateOpts("multi/old"),
		endpoints.NewAddUpdateOpts("multi/a", ep{Addr: "a"}, clientv3.WithLease(lease.ID)),
	}))
	require.Equal(t, []*endpoints.Update{
		add("multi/b", ep{Addr: "b"}), del("multi/old"), add("multi/a", ep{Addr: "a"}),
	}, next(t, ch), "in one slice, in their order")

	require.ErrorIs(t, m.Update(ctx, []*endpoints.UpdateWithOpts{
		endpoints.NewDeleteUpdateOpts("multi/c"), endpoints.NewAddUpdateOpts("multi/c", ep{}),
		endpoints.NewAddUpdateOpts("multi/d", ep{}),
	}), rpctypes.ErrDuplicateKey)

	_, err = cli.Revoke(ctx, lease.ID)
	require.NoError(t, err)
	require.ElementsMatch(t, []*endpoints.Update{del("multi/a"), del("multi/b")}, next(t, ch))
	eps, err := m.List(ctx)
	require.NoError(t, err)
	require.Empty(t, eps)
}

// TestDeleteWithPrefix: DeleteEndpoint passes its options to the delete, so WithPrefix deletes all
// endpoints.
func TestDeleteWithPrefix(t *testing.T) {
	ctx, cli := testContext(t), sharedClient(t, "all")
	m := newManager(t, cli, "all")
	for _, key := range []string{"all/a", "all/b"} {
		require.NoError(t, m.AddEndpoint(ctx, key, ep{Addr: key}))
	}
	require.NoError(t, m.DeleteEndpoint(ctx, "all/", clientv3.WithPrefix()))
	eps, err := m.List(ctx)
	require.NoError(t, err)
	require.Empty(t, eps)
}
