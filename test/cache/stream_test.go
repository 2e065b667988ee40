package cache_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// rangeStreams counts the range streams that a client opens.
type rangeStreams struct {
	opened  atomic.Int64
	between func() // called in each stream before the third message is received
}

func (r *rangeStreams) option() grpc.DialOption {
	return grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc,
		cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		s, err := streamer(ctx, desc, cc, method, opts...)
		if method != pb.KV_RangeStream_FullMethodName || err != nil {
			return s, err
		}
		r.opened.Add(1)
		return &watchedStream{ClientStream: s, streams: r}, nil
	})
}

type watchedStream struct {
	grpc.ClientStream
	streams  *rangeStreams
	received int
}

func (s *watchedStream) RecvMsg(msg any) error {
	if s.received++; s.received == 3 && s.streams.between != nil {
		s.streams.between()
	}
	return s.ClientStream.RecvMsg(msg)
}

// TestBrokenStreamsOfAServer: a cache lists a range with RangeStream. Meanwhile the revision that
// it reads is compacted, or the connection is lost. The cache still needs only one list.
func TestBrokenStreamsOfAServer(t *testing.T) {
	const keys = 60_000
	cluster := etcdtest.Start(t)
	direct := testclient.Open(t, cluster)
	fillServer(t, direct, keys)
	proxy := faultnet.New(t, cluster.Members()[0].Address())
	for name, row := range map[string]struct {
		fault   func()
		streams int64 // the largest allowed number of RangeStreams
	}{
		"nothing happens": {func() {}, 1},
		"compactions": {func() {
			resp, err := direct.Put(t.Context(), keyOf(keys-1), "changed")
			require.NoError(t, err)
			_, err = direct.Compact(t.Context(), resp.Header.Revision)
			require.NoError(t, err)
		}, 1000},
		"lost connections": {func() { proxy.Reset() }, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			faults := 0
			streams := &rangeStreams{between: func() {
				if faults++; faults <= 3 {
					row.fault()
				}
			}}
			client := testclient.New(t, clientv3.Config{Endpoints: []string{proxy.Addr()},
				DialOptions: []grpc.DialOption{streams.option()}})
			requireListed(t, direct, client)
			require.LessOrEqual(t, streams.opened.Load(), row.streams)
			require.Equal(t, row.streams > 1, streams.opened.Load() > 1)
		})
	}
}

// requireListed makes a cache. It requires that the cache has every key that a Get at the server
// returns, and that the cache has listed the range only once.
func requireListed(t *testing.T, direct, client *clientv3.Client) {
	t.Helper()
	c := synced(t, client, "large/")
	require.EqualValues(t, 1, c.Status().Lists)
	want, err := direct.Get(t.Context(), "large/", clientv3.WithPrefix())
	require.NoError(t, err)
	s, err := c.Fresh(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, len(want.Kvs), s.Len())
	for _, kv := range want.Kvs {
		own, ok := s.Get(string(kv.Key))
		require.True(t, ok && kv.ModRevision == own.ModRevision &&
			bytes.Equal(kv.Value, own.Value), "%s", kv.Key)
	}
}

// TestListsThroughEtcdsProxy shows that the cache reads a range by pages through etcd's grpc-proxy,
// which has no RangeStream. The client tries to open a RangeStream only once.
func TestListsThroughEtcdsProxy(t *testing.T) {
	cluster := etcdtest.Start(t)
	direct := testclient.Open(t, cluster)
	fillServer(t, direct, 3000)
	streams := &rangeStreams{}
	client := throughProxy(t, cluster.Members()[0], streams.option())
	requireListed(t, direct, client)
	requireListed(t, direct, client)
	require.EqualValues(t, 1, streams.opened.Load())
}
