package clientv3

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/testkit/kvstub"
)

// manyKeys returns n key-value pairs, sorted by key. Some keys are prefixes of others.
func manyKeys(n int) []*mvccpb.KeyValue {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%05d", i)
		if i%7 == 1 {
			keys[i] = keys[i-1] + "\x00"
		}
	}
	return kvstub.KeyValues(keys...)
}

var unimplemented = status.Error(codes.Unimplemented, "unknown method RangeStream")

// TestPagesEqualOneRange: from a server without RangeStream, GetStream reads a range in pages. The
// pages together equal the answer to one Range request.
func TestPagesEqualOneRange(t *testing.T) {
	kvs := manyKeys(300)
	refusals := map[string]*kvstub.Stub{
		"refused when opened":      {},
		"refused by first message": {OnStream: kvstub.StreamOf(unimplemented)},
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
				want, err := kvstub.RangeOf(kvs)(t.Context(), op.rangeRequest())
				require.NoError(t, err)

				remote.OnRange = kvstub.RangeOf(kvs)
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

// TestPagesAreOfOneRevision checks the requests for pages. All but the first ask for the revision
// of the first page, and each begins after the last key of the page before.
func TestPagesAreOfOneRevision(t *testing.T) {
	kvs := manyKeys(100)
	for _, rev := range []int64{0, 55} {
		remote := &kvstub.Stub{OnRange: kvstub.RangeOf(kvs)}
		stream, err := (&kv{remote: remote, paging: true}).GetStream(t.Context(), "k", WithPrefix(),
			WithRev(rev), WithKeysOnly(), WithSerializable())
		require.NoError(t, err)
		next := []byte("k")
		want := rev
		pages := 0
		for got := range stream {
			require.NoError(t, got.Err())
			req := remote.Requests()[pages].(*pb.RangeRequest)
			assert.Equal(t, next, req.Key)
			assert.Equal(t, want, req.Revision)
			assert.True(t, req.KeysOnly && req.Serializable)
			next = append(got.Kvs[len(got.Kvs)-1].Key, 0)
			if rev == 0 {
				want = 101 // revision in the first page's header; later headers have higher ones
			}
			if pages++; got.Header != nil {
				assert.EqualValues(t, 101, got.Header.Revision)
				assert.EqualValues(t, 100, got.Count)
			} else {
				assert.Zero(t, got.Count)
				assert.False(t, got.More)
			}
		}
		assert.Len(t, remote.Requests(), pages)
		assert.Greater(t, pages, 2)
	}
}

// TestWhatHasNoPagesComesWhole: GetStream sends one Range request for a range that cannot be read
// in pages. It tries a RangeStream request first, except with options that servers refuse in a
// RangeStream request.
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
				Kvs: kvstub.KeyValues("b", "a"), Count: 9, More: true}
			remote := &kvstub.Stub{
				OnRange: func(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
					return answer, nil
				},
				OnStream: func(context.Context, *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
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
			require.Len(t, remote.Requests(), 1)
			requireProto(t, op.rangeRequest(), remote.Requests()[0])
		})
	}
}

// TestGetStreamPageFromALaggingMember: a serializable read asks for its second page at a member
// that has not reached the revision of the first page. The member refuses, and GetStream reads the
// other pages linearizably.
func TestGetStreamPageFromALaggingMember(t *testing.T) {
	kvs := manyKeys(100)
	upToDate := kvstub.RangeOf(kvs)
	remote := &kvstub.Stub{OnRange: func(ctx context.Context,
		req *pb.RangeRequest) (*pb.RangeResponse,
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
	for _, req := range remote.Requests()[1:] {
		if req.(*pb.RangeRequest).Serializable {
			refused++
		}
	}
	assert.Equal(t, 1, refused, "one refusal is enough to read on linearizably")

	// If the caller itself asks for a future revision, GetStream does not hide the error.
	stream, err = kv.GetStream(t.Context(), "k", WithPrefix(), WithSerializable(), WithRev(1000))
	require.NoError(t, err)
	_, err = GetStreamToGetResponse(stream)
	assert.ErrorIs(t, err, rpctypes.ErrFutureRev)
}

func TestGetStreamCompactedBetweenPages(t *testing.T) {
	kvs := kvstub.RangeOf(manyKeys(100))
	kv := &kv{paging: true, remote: &kvstub.Stub{OnRange: func(ctx context.Context,
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

// TestPagesSurviveMalformedAnswers shows that a stream ends without an error if the server sends
// pages without a header or key-value pairs, or sends the first page again and again.
func TestPagesSurviveMalformedAnswers(t *testing.T) {
	answers := map[string]*pb.RangeResponse{
		"nothing":          {},
		"more of nothing":  {More: true},
		"a nil pair":       {Kvs: []*mvccpb.KeyValue{nil}},
		"no response":      nil,
		"over the limit":   {Kvs: kvstub.KeyValues("a", "b", "c", "d"), More: true},
		"a nil pair first": {Kvs: []*mvccpb.KeyValue{nil, nil}, More: true},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			kv := &kv{paging: true, remote: &kvstub.Stub{
				OnRange: func(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
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

// TestGetStreamFreesTheClientsHook: each stream registers a function that runs when the client's
// context ends. The stream removes this function when the stream itself ends.
func TestGetStreamFreesTheClientsHook(t *testing.T) {
	hooks := &countedContext{Context: t.Context(), done: make(chan struct{})}
	kv := NewKVFromKVClient(&kvstub.Stub{OnStream: kvstub.StreamOf(io.EOF,
		kvstub.LastPiece(1, "a"))},
		&Client{clientState: &clientState{ctx: hooks}})
	for range 10 {
		stream, err := kv.GetStream(t.Context(), "a", WithPrefix())
		require.NoError(t, err)
		_, err = GetStreamToGetResponse(stream)
		require.NoError(t, err)
	}
	assert.Zero(t, hooks.held, "hooks of streams that have ended")
}

// countedContext counts the functions that are registered to run when the context ends.
type countedContext struct {
	context.Context
	done chan struct{}
	held int
}

func (c *countedContext) Done() <-chan struct{} { return c.done }

func (c *countedContext) AfterFunc(func()) func() bool {
	c.held++
	return func() bool { c.held--; return true }
}
