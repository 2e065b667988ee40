package namespace_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/namespace"
)

// foreignKV hides the methods that a client's KV has in addition to those of the interface.
type foreignKV struct{ clientv3.KV }

// TestAnEmptyKeyIsRefused: a request for an empty key fails and is not sent. The server would see
// the prefix as the key.
func TestAnEmptyKeyIsRefused(t *testing.T) {
	fake := etcdfake.New(t)
	kv := namespace.NewKV(newClient(t, fake.Listen()).KV, "p/")
	ctx := t.Context()
	good, empty := clientv3.OpPut("k", "v"), clientv3.OpDelete("")
	for name, call := range map[string]func() error{
		"put": func() error { _, err := kv.Put(ctx, "", "v"); return err },
		"get": func() error { _, err := kv.Get(ctx, ""); return err },
		"range": func() error {
			_, err := kv.Get(ctx, "", clientv3.WithRange("b"))
			return err
		},
		"delete": func() error { _, err := kv.Delete(ctx, ""); return err },
		"stream": func() error { _, err := kv.GetStream(ctx, ""); return err },
		"do":     func() error { _, err := kv.Do(ctx, empty); return err },
		"condition": func() error {
			_, err := kv.Txn(ctx).If(clientv3.Cmp{}).Then(good).Commit()
			return err
		},
		"then": func() error {
			_, err := kv.Txn(ctx).Then(good, empty).Else(good).Commit()
			return err
		},
		"else": func() error { _, err := kv.Txn(ctx).Else(empty).Commit(); return err },
		"nested": func() error {
			_, err := kv.Do(ctx, clientv3.OpTxn(nil,
				[]clientv3.Op{clientv3.OpTxn(nil, nil, []clientv3.Op{empty})}, nil))
			return err
		},
	} {
		require.Equal(t, rpctypes.ErrEmptyKey, call(), name)
	}
	for _, method := range []etcdfake.Method{"Put", "Range", "DeleteRange", "Txn", "RangeStream"} {
		require.Zero(t, fake.Calls(method), method)
	}
}

// TestTheArgumentsStayAsTheyAre: a program can run the same Op or condition twice. The KV adds the
// prefix to a copy, so the second run does not get two prefixes.
func TestTheArgumentsStayAsTheyAre(t *testing.T) {
	client := newClient(t, cluster.Endpoints()...)
	kv := namespace.NewKV(client.KV, "twice/")
	cmps := []clientv3.Cmp{clientv3.Compare(clientv3.Version("k").WithPrefix(), ">", -1)}
	op := clientv3.OpTxn(cmps, []clientv3.Op{clientv3.OpPut("k", "v"),
		clientv3.OpGet("k", clientv3.WithPrefix())}, nil)
	for range 2 {
		resp, err := kv.Do(t.Context(), op)
		require.NoError(t, err)
		require.Equal(t, "k", string(resp.Txn().Responses[1].GetResponseRange().Kvs[0].Key))
		_, err = kv.Txn(t.Context()).If(cmps...).Then(clientv3.OpPut("k", "v")).Commit()
		require.NoError(t, err)
	}
	all, err := client.Get(t.Context(), "twice/", clientv3.WithPrefix())
	require.NoError(t, err)
	require.EqualValues(t, 1, all.Count)
	require.Panics(t, func() { kv.Txn(t.Context()).Then().If() }, "as in any transaction")
}

// TestOpsThatDoNotRun: Do returns the client's error for an Op that a KV cannot run.
func TestOpsThatDoNotRun(t *testing.T) {
	kv := namespace.NewKV(newClient(t, cluster.Endpoints()...).KV, "p/")
	for _, op := range []clientv3.Op{clientv3.OpWatch("k"), *clientv3.NewOp()} {
		_, err := kv.Do(t.Context(), op)
		require.ErrorContains(t, err, "etcdclient: ")
		_, err = kv.Txn(t.Context()).Then(op).Commit()
		require.ErrorContains(t, err, "etcdclient: ")
	}
}

// fill puts keys into a fake member, some of them in the namespace.
func fill(t *testing.T, fake *etcdfake.Cluster) {
	t.Helper()
	client := newClient(t, fake.Listen())
	for _, prefix := range []string{"o/", "p/", "q/"} {
		for i := range 100 {
			_, err := client.Put(t.Context(), prefix+string(rune('a'+i)), "")
			require.NoError(t, err)
		}
	}
}

// TestStreamsOfANamespace: GetStream delivers all keys of the namespace, from a server with streams
// and from an older server without them. It also does so if the inner KV is not a client's.
func TestStreamsOfANamespace(t *testing.T) {
	for server, opts := range map[string][]etcdfake.Option{"streams": nil,
		"pages": {etcdfake.WithVersion("3.5.21")}} {
		fake := etcdfake.New(t, opts...)
		fill(t, fake)
		client := newClient(t, fake.Listen())
		for name, kv := range map[string]clientv3.KV{
			"client":  namespace.NewKV(client, "p/"),
			"kv":      namespace.NewKV(client.KV, "p/"),
			"nested":  namespace.NewKV(namespace.NewKV(client.KV, "p"), "/"),
			"foreign": namespace.NewKV(foreignKV{client.KV}, "p/"),
		} {
			t.Run(server+"/"+name, func(t *testing.T) {
				want, err := kv.Get(t.Context(), "", clientv3.WithPrefix())
				require.NoError(t, err)
				require.EqualValues(t, 100, want.Count)
				stream, err := kv.GetStream(t.Context(), "", clientv3.WithPrefix())
				require.NoError(t, err)
				got, err := clientv3.GetStreamToGetResponse(stream)
				require.NoError(t, err)
				require.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)))
				_, err = readAll(kv.GetStream(t.Context(), "a", clientv3.WithRev(9999)))
				require.ErrorIs(t, err, rpctypes.ErrFutureRev)
			})
		}
	}
}

func readAll(stream clientv3.GetStreamChan, err error) (*clientv3.GetResponse, error) {
	if err != nil {
		return nil, err
	}
	return clientv3.GetStreamToGetResponse(stream)
}

// TestAbandonedStreamsLeakNothing: closing the client ends streams that the program has not read.
func TestAbandonedStreamsLeakNothing(t *testing.T) {
	fake := etcdfake.New(t)
	fill(t, fake)
	client := newClient(t, fake.Listen())
	kv := namespace.NewKV(namespace.NewKV(client, "p"), "/")
	before := runtime.NumGoroutine()
	for range 20 {
		_, err := kv.GetStream(context.WithoutCancel(t.Context()), "", clientv3.WithPrefix())
		require.NoError(t, err)
	}
	require.NoError(t, client.Close())
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before }, waitFor, tick)
}
