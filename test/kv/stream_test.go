package kv_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// unstreamed has interceptors that make a server appear unable to stream ranges. They count the
// Range requests in the field ranges. Except at the first Range request, they call the function in
// the field before and then send the request.
type unstreamed struct {
	before func()
	ranges int
}

func (u *unstreamed) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithStreamInterceptor(func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string,
			grpc.Streamer, ...grpc.CallOption) (grpc.ClientStream, error) {
			return nil, status.Error(codes.Unimplemented, "unknown method RangeStream")
		}),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any,
			cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if method == pb.KV_Range_FullMethodName {
				if u.ranges++; u.ranges > 1 && u.before != nil {
					u.before()
				}
			}
			return next(ctx, method, req, reply, cc, opts...)
		}),
	}
}

// client returns a client of the cluster that has the interceptors of u.
func (u *unstreamed) client(t *testing.T, cluster *etcdtest.Cluster) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(),
		DialOptions: u.options()})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	return client
}

// fill puts n keys with the prefix, up to 100 in one request.
func fill(t *testing.T, kv clientv3.KV, prefix string, n int) {
	t.Helper()
	for i := 0; i < n; {
		var ops []clientv3.Op
		for ; i < n && len(ops) < 100; i++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%05d", prefix, i),
				strings.Repeat("v", i%300)))
		}
		_, err := kv.Txn(t.Context()).Then(ops...).Commit()
		require.NoError(t, err)
	}
}

// wholeStream reads a range by GetStream. It returns the whole answer and the number of its pieces.
func wholeStream(
	t *testing.T, kv clientv3.KV, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, int) {
	t.Helper()
	stream, err := kv.GetStream(t.Context(), key, opts...)
	require.NoError(t, err)
	pieces, copied := 0, make(chan clientv3.RangeStreamResponse, 1000)
	for piece := range stream {
		pieces++
		copied <- piece
	}
	close(copied)
	resp, err := clientv3.GetStreamToGetResponse(copied)
	require.NoError(t, err)
	return resp, pieces
}

// TestGetStreamEqualsGetAgainstAServer compares the answers of Get and of GetStream, from a server
// that streams and from one that does not.
func TestGetStreamEqualsGetAgainstAServer(t *testing.T) {
	cluster := etcdtest.Start(t)
	client := testclient.Open(t, cluster)
	fill(t, client, "k", 500)
	rev := mustPut(t, client, "k00250", "rewritten")
	fill(t, client, "k", 1000)

	kvs := map[string]clientv3.KV{
		"streamed": client,
		"by pages": (&unstreamed{}).client(t, cluster),
	}
	with := func(opts ...clientv3.OpOption) []clientv3.OpOption {
		return append(opts, clientv3.WithPrefix())
	}
	tests := map[string]struct {
		opts   []clientv3.OpOption
		pieces int // the least number of streamed responses
	}{
		"all":          {with(), 3},
		"past":         {with(clientv3.WithRev(rev)), 3},
		"limit":        {with(clientv3.WithLimit(777)), 3},
		"limit of all": {with(clientv3.WithLimit(1000)), 3},
		"small limit":  {with(clientv3.WithLimit(3)), 1},
		"serializable": {with(clientv3.WithSerializable()), 3},
		"keys only":    {with(clientv3.WithKeysOnly()), 3},
		"count only":   {with(clientv3.WithCountOnly()), 1},
		"one key":      {nil, 1},
		"sorted": {with(clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend),
			clientv3.WithLimit(700)), 1},
		"mod, limit": {with(clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortNone)), 1},
		"min mod":    {with(clientv3.WithMinModRev(rev), clientv3.WithLimit(600)), 1},
		"max create": {with(clientv3.WithMaxCreateRev(rev)), 1},
	}
	for kind, kv := range kvs {
		for name, tt := range tests {
			t.Run(kind+"/"+name, func(t *testing.T) {
				want, err := client.Get(t.Context(), "k", tt.opts...)
				require.NoError(t, err)
				got, pieces := wholeStream(t, kv, "k", tt.opts...)
				assert.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)),
					"Get: %d keys of %d, more %t, %v\nstream: %d keys of %d, more %t, %v",
					len(want.Kvs), want.Count, want.More, want.Header, len(got.Kvs), got.Count,
					got.More, got.Header)
				assert.GreaterOrEqual(t, pieces, tt.pieces)
			})
		}
	}
}

// TestPagesOfOneRevisionAgainstAServer reads a range in pages, and changes keys of the range before
// each further page. No page shows these changes.
func TestPagesOfOneRevisionAgainstAServer(t *testing.T) {
	cluster := etcdtest.Start(t)
	client := testclient.Open(t, cluster)
	fill(t, client, "k", 300)
	want, err := client.Get(t.Context(), "k", clientv3.WithPrefix())
	require.NoError(t, err)

	pages := &unstreamed{}
	pages.before = func() {
		_, err := client.Delete(t.Context(), fmt.Sprintf("k%05d", 299-pages.ranges))
		require.NoError(t, err)
		mustPut(t, client, fmt.Sprintf("k%05d+", 200+pages.ranges), "new")
	}
	got, pieces := wholeStream(t, pages.client(t, cluster), "k", clientv3.WithPrefix())
	assert.Greater(t, pieces, 2)
	assert.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)),
		"no write after the first page is in the answer")
}

// TestGetStreamOnEtcd35 reads a range from a server that does not know RangeStream.
func TestGetStreamOnEtcd35(t *testing.T) {
	server := etcdfake.New(t, etcdfake.WithVersion("3.5.21"))
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Listen()}})
	require.NoError(t, err)
	defer func() { assert.NoError(t, client.Close()) }()
	fill(t, client, "k", 300)

	want, err := client.Get(t.Context(), "k", clientv3.WithPrefix())
	require.NoError(t, err)
	got, pieces := wholeStream(t, client, "k", clientv3.WithPrefix())
	assert.Greater(t, pieces, 2)
	assert.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)))
}

// TestAbandonedGetStreamsAgainstAServer opens large streams and does not read them. The server
// keeps them open until the context or the client ends.
func TestAbandonedGetStreamsAgainstAServer(t *testing.T) {
	etcdtest.NeedsEtcd(t, "metrics")
	cluster := etcdtest.Start(t)
	client := testclient.Open(t, cluster)
	val := strings.Repeat("v", 1<<20)
	for i := range 48 { // 48 MiB, more than the first piece and gRPC's receive windows can hold
		mustPut(t, client, fmt.Sprintf("big/%02d", i), val)
	}
	const streams = 8
	open := func() int {
		n, err := cluster.Members()[0].OpenStreams("RangeStream")
		require.NoError(t, err)
		return n
	}
	for name, end := range map[string]func(cancel context.CancelFunc, client *clientv3.Client){
		"context": func(cancel context.CancelFunc, _ *clientv3.Client) { cancel() },
		"client": func(_ context.CancelFunc, client *clientv3.Client) {
			assert.NoError(t, client.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := testclient.Open(t, cluster)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var abandoned []clientv3.GetStreamChan
			for range streams {
				stream, err := client.GetStream(ctx, "big/", clientv3.WithPrefix())
				require.NoError(t, err)
				abandoned = append(abandoned, stream)
			}
			require.Eventually(t, func() bool {
				return open() == streams
			}, time.Minute, 10*time.Millisecond)
			testclient.Throughout(t, 200*time.Millisecond, func() bool {
				return open() >= streams
			}, "a stream without a reader has ended at the server")
			end(cancel, client)
			require.Eventually(t, func() bool {
				return open() == 0
			}, time.Minute, 10*time.Millisecond)
			for _, stream := range abandoned {
				_, err := clientv3.GetStreamToGetResponse(stream)
				assert.ErrorIs(t, err, context.Canceled)
			}
		})
	}
}

// TestGetStreamWithinTheLimitOnResponses: the client limits the size of a response that it
// receives. Each value is within the limit, but a few values together are not. GetStream returns
// them all, although the server does not know the limit.
func TestGetStreamWithinTheLimitOnResponses(t *testing.T) {
	for name, opts := range map[string][]etcdfake.Option{"streams": nil,
		"does not": {etcdfake.WithVersion("3.5.21")}} {
		t.Run(name, func(t *testing.T) {
			server := etcdfake.New(t, opts...)
			writer := testclient.New(t, clientv3.Config{Endpoints: []string{server.Listen()}})
			client := testclient.New(t, clientv3.Config{Endpoints: []string{server.Listen()},
				MaxCallRecvMsgSize: 256 << 10})
			fill(t, writer, "k/1/", 200)
			for i := range 20 {
				mustPut(t, writer, fmt.Sprintf("k/2/%02d", i), strings.Repeat("v", 100<<10))
				mustPut(t, writer, fmt.Sprintf("k/3/%02d", i), strings.Repeat("v", 250<<10*(i%2)))
			}
			fill(t, writer, "k/4/", 200)

			want, err := writer.Get(t.Context(), "k/", clientv3.WithPrefix())
			require.NoError(t, err)
			got, pieces := wholeStream(t, client, "k/", clientv3.WithPrefix())
			assert.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)))
			assert.Less(t, server.Calls("Range"), 2*pieces, "few pages are over the limit")

			mustPut(t, writer, "k/4", strings.Repeat("v", 300<<10))
			stream, err := client.GetStream(t.Context(), "k/", clientv3.WithPrefix())
			require.NoError(t, err)
			_, err = clientv3.GetStreamToGetResponse(stream)
			assert.Equal(t, codes.ResourceExhausted, status.Code(err), "one key is over the limit")
		})
	}
}
