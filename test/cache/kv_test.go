package cache_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomget"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestGetsAreAnsweredAsByTheServer compares the answers to 3,200 reads with random options, each
// also as a stream and in a transaction.
func TestGetsAreAnsweredAsByTheServer(t *testing.T) {
	client := testclient.Open(t, etcdtest.Start(t))
	caches := map[string]*cache.Cache{
		"a prefix":  synced(t, client, "a/"),
		"all keys":  synced(t, client, ""),
		"a range":   synced(t, client, "", cache.WithRange("a/k10", "a/k40")),
		"keys only": synced(t, client, "a/", cache.WithKeysOnly()),
	}
	lease, err := client.Grant(t.Context(), 3600)
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var newest int64
	reads := randomget.Fill(rand.New(rand.NewPCG(seed, 0)), "a/", func(op clientv3.Op) int64 {
		resp, err := client.Do(t.Context(), op)
		require.NoError(t, err)
		if put := resp.Put(); put != nil {
			newest = put.Header.Revision
		} else {
			newest = resp.Del().Header.Revision
		}
		return newest
	}, lease.ID)
	for name, c := range caches {
		t.Run(name, func(t *testing.T) {
			// The cache has all writes now, so its serializable reads are as new as the server's.
			_, err := c.AtLeast(t.Context(), newest)
			require.NoError(t, err)
			kv := c.KV()
			for range 800 {
				read := reads.Next()
				compareReads(t, client, kv, read)
			}
			t.Logf("%+v", c.Status())
		})
	}
}

func compareReads(t *testing.T, server, memory clientv3.KV, read randomget.Get) {
	t.Helper()
	ctx := t.Context()
	want, err := server.Get(ctx, read.Key, read.Opts...)
	require.NoError(t, err, read.Text)
	got, err := memory.Get(ctx, read.Key, read.Opts...)
	require.NoError(t, err, read.Text)
	requireProto(t, read.Text, (*pb.RangeResponse)(want), (*pb.RangeResponse)(got))

	stream, err := memory.GetStream(ctx, read.Key, read.Opts...)
	require.NoError(t, err, read.Text)
	got, err = clientv3.GetStreamToGetResponse(stream)
	require.NoError(t, err, read.Text)
	requireProto(t, read.Text, (*pb.RangeResponse)(want), (*pb.RangeResponse)(got))

	op := clientv3.OpGet(read.Key, read.Opts...)
	wantTxn, err := server.Txn(ctx).Then(op).Commit()
	require.NoError(t, err, read.Text)
	gotTxn, err := memory.Txn(ctx).Then(op).Commit()
	require.NoError(t, err, read.Text)
	requireProto(t, read.Text, (*pb.TxnResponse)(wantTxn), (*pb.TxnResponse)(gotTxn))
}

func requireProto(t *testing.T, about string, want, got proto.Message) {
	t.Helper()
	require.True(t, proto.Equal(want, got), "%s:\nwant %v\ngot  %v", about, want, got)
}
