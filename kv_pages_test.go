package clientv3

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// manyKeys returns n keys in order, of which some are prefixes of others.
func manyKeys(n int) []*mvccpb.KeyValue {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%05d", i)
		if i%7 == 1 {
			keys[i] = keys[i-1] + "\x00"
		}
	}
	return keyValues(keys...)
}

var unimplemented = status.Error(codes.Unimplemented, "unknown method RangeStream")

// TestPagesEqualOneRange reads ranges from a server that does not stream and
// compares with what one request returns.
func TestPagesEqualOneRange(t *testing.T) {
	kvs := manyKeys(300)
	refusals := map[string]*fakeKV{
		"refused when opened":      {},
		"refused by first message": {onStream: streamOf(unimplemented)},
	}
	tests := map[string][]OpOption{
		"all":              {WithPrefix()},
		"range":            {WithRange("k00123")},
		"from key":         {WithFromKey()},
		"one":              nil,
		"one missing":      {WithRange("k00000\x00")},
		"limit 1":          {WithPrefix(), WithLimit(1)},
		"limit 16":         {WithPrefix(), WithLimit(16)},
		"limit 17":         {WithPrefix(), WithLimit(17)},
		"limit 299":        {WithPrefix(), WithLimit(299)},
		"limit 300":        {WithPrefix(), WithLimit(300)},
		"limit over count": {WithPrefix(), WithLimit(301)},
		"negative limit":   {WithPrefix(), WithLimit(-3)},
	}
	for refusal, remote := range refusals {
		for name, opts := range tests {
			t.Run(refusal+"/"+name, func(t *testing.T) {
				key := "k"
				if name == "one" || name == "one missing" {
					key = "k00042"
				}
				op := OpGet(key, opts...)
				want, err := rangeOf(kvs)(t.Context(), op.rangeRequest())
				require.NoError(t, err)

				remote.onRange = rangeOf(kvs)
				stream, err := (&kv{remote: remote, paging: true}).GetStream(t.Context(), key,
					opts...)
				require.NoError(t, err)
				got, err := GetStreamToGetResponse(stream)
				require.NoError(t, err)
				requireProto(t, want, (*pb.RangeResponse)(got))
			})
		}
	}
}

// TestPagesAreOfOneRevision looks at the requests: after the first page they name
// its revision, and each begins after the last key of the one before.
func TestPagesAreOfOneRevision(t *testing.T) {
	kvs := manyKeys(100)
	for _, rev := range []int64{0, 55} {
		remote := &fakeKV{onRange: rangeOf(kvs)}
		stream, err := (&kv{remote: remote, paging: true}).GetStream(t.Context(), "k", WithPrefix(),
			WithRev(rev), WithKeysOnly(), WithSerializable())
		require.NoError(t, err)
		next := []byte("k")
		want := rev
		pages := 0
		for got := range stream {
			require.NoError(t, got.Err())
			req := remote.seen()[pages].(*pb.RangeRequest)
			assert.Equal(t, next, req.Key)
			assert.Equal(t, want, req.Revision)
			assert.True(t, req.KeysOnly && req.Serializable)
			next = append(got.Kvs[len(got.Kvs)-1].Key, 0)
			if rev == 0 {
				want = 101 // of the first answer; each later one has a higher one
			}
			if pages++; got.Header != nil {
				assert.EqualValues(t, 101, got.Header.Revision)
				assert.EqualValues(t, 100, got.Count)
			} else {
				assert.Zero(t, got.Count)
				assert.False(t, got.More)
			}
		}
		assert.Len(t, remote.seen(), pages)
		assert.Greater(t, pages, 2)
	}
}

// TestWhatHasNoPagesComesWhole has ranges that a server must compute as a whole:
// one Range each, and no attempt to stream what servers refuse to stream.
func TestWhatHasNoPagesComesWhole(t *testing.T) {
	tests := map[string]struct {
		opts    []OpOption
		streams int
	}{
		"sorted":          {[]OpOption{WithPrefix(), WithSort(SortByModRevision, SortDescend)}, 0},
		"sort, no order":  {[]OpOption{WithPrefix(), WithSort(SortByModRevision, SortNone)}, 0},
		"keys downwards":  {[]OpOption{WithPrefix(), WithSort(SortByKey, SortDescend)}, 0},
		"min mod":         {[]OpOption{WithPrefix(), WithMinModRev(3)}, 0},
		"max mod":         {[]OpOption{WithPrefix(), WithMaxModRev(3)}, 0},
		"min create":      {[]OpOption{WithPrefix(), WithMinCreateRev(3)}, 0},
		"max create":      {[]OpOption{WithPrefix(), WithMaxCreateRev(3)}, 0},
		"count only":      {[]OpOption{WithPrefix(), WithCountOnly()}, 1},
		"single key":      {nil, 1},
		"default ordered": {[]OpOption{WithSort(SortByKey, SortAscend)}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			streams := 0
			answer := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 4},
				Kvs: keyValues("b", "a"), Count: 9, More: true}
			remote := &fakeKV{
				onRange: func(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
					return answer, nil
				},
				onStream: func(context.Context, *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
					streams++
					return nil, unimplemented
				},
			}
			stream, err := (&kv{remote: remote, paging: true}).GetStream(t.Context(), "k",
				tt.opts...)
			require.NoError(t, err)
			got := <-stream
			require.NoError(t, got.Err())
			assert.Same(t, answer, got.RangeResponse)
			_, open := <-stream
			assert.False(t, open)
			assert.Equal(t, tt.streams, streams)
			op := OpGet("k", tt.opts...)
			require.Len(t, remote.seen(), 1)
			requireProto(t, op.rangeRequest(), remote.seen()[0])
		})
	}
}

// TestGetStreamPageFromALaggingMember reads serializably: the second page meets a member
// that has not reached the first one's revision.
func TestGetStreamPageFromALaggingMember(t *testing.T) {
	kvs := manyKeys(100)
	upToDate := rangeOf(kvs)
	remote := &fakeKV{onRange: func(ctx context.Context, req *pb.RangeRequest) (*pb.RangeResponse,
		error) {
		if req.Serializable && req.Revision != 0 {
			return nil, rpctypes.ErrGRPCFutureRev
		}
		return upToDate(ctx, req)
	}}
	kv := &kv{remote: remote, paging: true}
	stream, err := kv.GetStream(t.Context(), "k", WithPrefix(), WithSerializable())
	require.NoError(t, err)
	got, err := GetStreamToGetResponse(stream)
	require.NoError(t, err)
	assert.Len(t, got.Kvs, 100)
	refused := 0
	for _, req := range remote.seen()[1:] {
		if req.(*pb.RangeRequest).Serializable {
			refused++
		}
	}
	assert.Equal(t, 1, refused, "one refusal is enough to read on linearizably")

	// A revision of the caller's that is in the future is the caller's error.
	stream, err = kv.GetStream(t.Context(), "k", WithPrefix(), WithSerializable(), WithRev(1000))
	require.NoError(t, err)
	_, err = GetStreamToGetResponse(stream)
	assert.ErrorIs(t, err, rpctypes.ErrFutureRev)
}

func TestGetStreamCompactedBetweenPages(t *testing.T) {
	kvs := rangeOf(manyKeys(100))
	kv := &kv{paging: true, remote: &fakeKV{onRange: func(ctx context.Context,
		req *pb.RangeRequest) (*pb.RangeResponse, error) {
		if req.Revision != 0 {
			return nil, rpctypes.ErrGRPCCompacted
		}
		return kvs(ctx, req)
	}}}
	stream, err := kv.GetStream(t.Context(), "k", WithPrefix())
	require.NoError(t, err)
	first := <-stream
	require.NoError(t, first.Err())
	assert.NotEmpty(t, first.Kvs)
	last := <-stream
	assert.Equal(t, rpctypes.ErrCompacted, last.Err())
}

// TestPagesSurviveMalformedAnswers has pages without header, key-value pairs or
// progress.
func TestPagesSurviveMalformedAnswers(t *testing.T) {
	answers := map[string]*pb.RangeResponse{
		"nothing":          {},
		"more of nothing":  {More: true},
		"a nil pair":       {Kvs: []*mvccpb.KeyValue{nil}},
		"no response":      nil,
		"over the limit":   {Kvs: keyValues("a", "b", "c", "d"), More: true},
		"a nil pair first": {Kvs: []*mvccpb.KeyValue{nil, nil}, More: true},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			kv := &kv{paging: true, remote: &fakeKV{
				onRange: func(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
					return answer, nil
				}}}
			stream, err := kv.GetStream(t.Context(), "k", WithPrefix(), WithLimit(2))
			require.NoError(t, err)
			_, err = GetStreamToGetResponse(stream)
			assert.NoError(t, err)
		})
	}
}

func TestNextPageSize(t *testing.T) {
	tests := []struct {
		keys  int64
		bytes int
		want  int64
	}{
		{16, 0, 64},
		{16, maxPageBytes / 2, 16},
		{16, 3 * maxPageBytes, 8},
		{1, 30 * maxPageBytes, 1},
		{512, 100, 1024},
		{1024, 100, 1024},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, nextPageSize(tt.keys, tt.bytes, maxPageBytes),
			"after %d keys of %d bytes", tt.keys, tt.bytes)
	}
}
