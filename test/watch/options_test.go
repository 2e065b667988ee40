package watch_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestOptionsThatAWatchRefuses: Watch panics on options that are meant for other requests only,
// before it opens a stream. It ignores WithKeysOnly, WithIgnoreValue and WithIgnoreLease.
func TestOptionsThatAWatchRefuses(t *testing.T) {
	streams := pipes.NewWatch(confirmAll)
	w := clientv3.NewWatchFromWatchClient(streams, nil)
	t.Cleanup(func() { assert.NoError(t, w.Close()); streams.Close() })
	for name, opt := range map[string]clientv3.OpOption{
		"lease":                 clientv3.WithLease(1),
		"limit":                 clientv3.WithLimit(1),
		"sort":                  clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend),
		"serializable":          clientv3.WithSerializable(),
		"count only":            clientv3.WithCountOnly(),
		"least mod revision":    clientv3.WithMinModRev(1),
		"most mod revision":     clientv3.WithMaxModRev(1),
		"least create revision": clientv3.WithMinCreateRev(1),
		"most create revision":  clientv3.WithMaxCreateRev(1),
	} {
		assert.Panics(t, func() { w.Watch(t.Context(), "k", opt) }, name)
	}
	assert.Panics(t, func() {
		w.Watch(t.Context(), "k", clientv3.WithPrefix(), clientv3.WithFromKey())
	})
	_, total := streams.Streams()
	assert.Zero(t, total)
	for name, opt := range map[string]clientv3.OpOption{
		"keys only":    clientv3.WithKeysOnly(),
		"ignore value": clientv3.WithIgnoreValue(),
		"ignore lease": clientv3.WithIgnoreLease(),
	} {
		assert.NotPanics(t, func() { w.Watch(t.Context(), "k", opt) }, name)
	}
}

// TestWatchRequestHasTheOptions: each option of a watch reaches the server.
func TestWatchRequestHasTheOptions(t *testing.T) {
	s, w := newWatchScript(t)
	watchAsync(t.Context(), w, "k", clientv3.WithRange("l"), clientv3.WithRev(5),
		clientv3.WithPrevKV(), clientv3.WithProgressNotify(),
		clientv3.WithFragment(), clientv3.WithFilterPut(), clientv3.WithFilterDelete())
	req := s.session().create()
	assert.Equal(t, "k", string(req.Key))
	assert.Equal(t, "l", string(req.RangeEnd))
	assert.EqualValues(t, 5, req.StartRevision)
	assert.True(t, req.PrevKv && req.ProgressNotify && req.Fragment)
	assert.Equal(t, []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT,
		pb.WatchCreateRequest_NODELETE}, req.Filters)
}

// TestWatchResponseErr: the error of a response follows from its CancelReason and its
// CompactRevision.
func TestWatchResponseErr(t *testing.T) {
	for _, tc := range []struct {
		wr   clientv3.WatchResponse
		want error
	}{
		{clientv3.WatchResponse{}, nil},
		{clientv3.WatchResponse{Created: true}, nil},
		{clientv3.WatchResponse{Canceled: true}, rpctypes.ErrFutureRev},
		{clientv3.WatchResponse{Canceled: true, CompactRevision: 3, CancelReason: "x"},
			rpctypes.ErrCompacted},
		{clientv3.WatchResponse{CompactRevision: 3}, rpctypes.ErrCompacted},
		{clientv3.WatchResponse{Canceled: true, CancelReason: rpctypes.ErrGRPCUserEmpty.Error()},
			rpctypes.ErrUserEmpty},
		{clientv3.WatchResponse{Canceled: true,
			CancelReason: rpctypes.ErrGRPCAuthOldRevision.Error()}, rpctypes.ErrAuthOldRevision},
		{clientv3.WatchResponse{Canceled: true, CancelReason: rpctypes.ErrPermissionDenied.Error()},
			rpctypes.ErrPermissionDenied},
		{clientv3.WatchResponse{Canceled: true, CancelReason: rpctypes.ErrCompacted.Error()},
			rpctypes.ErrCompacted},
	} {
		assert.Equal(t, tc.want, tc.wr.Err(), "%+v", tc.wr)
	}
	wr := clientv3.WatchResponse{Canceled: true, CancelReason: "mvcc: watcher range is empty"}
	require.ErrorContains(t, wr.Err(), "mvcc: watcher range is empty")
}

// TestReasonsThatAreStatuses: a cancel reason that is the text of a gRPC status becomes that
// status, with its code and its description.
func TestReasonsThatAreStatuses(t *testing.T) {
	for reason, want := range map[string]error{
		"rpc error: code = Canceled desc = grpc: the client connection is closing": status.Error(
			codes.Canceled,
			"grpc: the client connection is closing"),
		"rpc error: code = Unavailable desc = error reading: desc = x": status.Error(
			codes.Unavailable, "error reading: desc = x"),
		"rpc error: code = Unauthenticated desc = ": status.Error(
			codes.Unauthenticated, ""),
		"rpc error: code = OK desc = x": status.Error(
			codes.FailedPrecondition, "rpc error: code = OK desc = x"),
		"rpc error: code = Odd desc = x": status.Error(
			codes.FailedPrecondition, "rpc error: code = Odd desc = x"),
		"rpc error: code = Canceled": status.Error(
			codes.FailedPrecondition, "rpc error: code = Canceled"),
		"canceled": status.Error(
			codes.FailedPrecondition, "canceled"),
	} {
		wr := clientv3.WatchResponse{Canceled: true, CancelReason: reason}
		assert.Equal(t, status.Code(want), status.Code(wr.Err()), reason)
		assert.Equal(t, status.Convert(want).Message(), status.Convert(wr.Err()).Message(), reason)
	}
	for _, known := range []error{rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCNoLeader,
		rpctypes.ErrGRPCCompacted} {
		wr := clientv3.WatchResponse{Canceled: true, CancelReason: known.Error()}
		assert.Equal(t, rpctypes.Error(known), wr.Err())
	}
}

// TestWatchResponseIsProgressNotify: a response is a progress notice if it has a revision and
// nothing else.
func TestWatchResponseIsProgressNotify(t *testing.T) {
	at := &pb.ResponseHeader{Revision: 3}
	for _, tc := range []struct {
		wr   clientv3.WatchResponse
		want bool
	}{
		{clientv3.WatchResponse{Header: at}, true},
		{clientv3.WatchResponse{}, false},
		{clientv3.WatchResponse{Header: &pb.ResponseHeader{}}, false},
		{clientv3.WatchResponse{Header: at, Created: true}, false},
		{clientv3.WatchResponse{Header: at, Canceled: true}, false},
		{clientv3.WatchResponse{Header: at, CompactRevision: 1}, false},
		{clientv3.WatchResponse{Header: at, Events: []*clientv3.Event{{}}}, false},
	} {
		assert.Equal(t, tc.want, tc.wr.IsProgressNotify(), "%+v", tc.wr)
	}
}

// TestWatchOneKey: a watch of one key gets the changes of that key.
func TestWatchOneKey(t *testing.T) {
	_, c := testclient.StartFake(t, clientv3.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	ch := c.Watch(ctx, "a")
	put(t, c, "b", "0")
	rev := put(t, c, "a", "1")
	assert.Equal(t, fmt.Sprintf("PUT a=1@%d", rev), nextEvent(t, ch))
	_, err := c.Delete(ctx, "a")
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("DELETE a=@%d", rev+1), nextEvent(t, ch))
	cancel()
	requireClosed(t, ch)
}

// TestWatchPrefixFromRevision: a watch from an old revision gets all changes since, in one
// response.
func TestWatchPrefixFromRevision(t *testing.T) {
	_, c := testclient.StartFake(t, clientv3.Config{})
	first := put(t, c, "p/1", "x")
	put(t, c, "p/2", "y")
	ch := c.Watch(t.Context(), "p/", clientv3.WithPrefix(), clientv3.WithRev(first))
	wr := nextResponse(t, ch)
	require.Len(t, wr.Events, 2)
	assert.Equal(t, fmt.Sprintf("PUT p/1=x@%d", first), eventString(wr.Events[0]))
	assert.Equal(t, fmt.Sprintf("PUT p/2=y@%d", first+1), eventString(wr.Events[1]))
}
