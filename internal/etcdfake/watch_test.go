package etcdfake

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestWatchEvents(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	kv := pb.NewKVClient(conn)
	put(t, kv, "a", "old")
	w := openWatch(t, conn)
	created := create(t, w, &pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("b"),
		PrevKv: true})
	assert.True(t, created.Created)
	assert.Zero(t, created.WatchId)
	assert.Equal(t, int64(2), created.Header.Revision)
	past := create(t, w, &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 2, WatchId: 9})
	assert.Equal(t, int64(9), past.WatchId)
	replay := recvWatch(t, w)
	assert.Equal(t, int64(9), replay.WatchId)
	require.Len(t, replay.Events, 1)
	assert.Equal(t, "old", string(replay.Events[0].Kv.Value))
	cancelWatch(t, w, 9)
	assert.True(t, recvWatch(t, w).Canceled)

	put(t, kv, "zz", "not watched")
	put(t, kv, "a", "new")
	resp := recvWatch(t, w)
	require.Len(t, resp.Events, 1)
	assert.Equal(t, "new", string(resp.Events[0].Kv.Value))
	assert.Equal(t, int64(4), resp.Events[0].Kv.ModRevision)
	assert.Equal(t, "old", string(resp.Events[0].PrevKv.Value))
	_, err := kv.DeleteRange(testContext(t), &pb.DeleteRangeRequest{Key: []byte("a")})
	require.NoError(t, err)
	resp = recvWatch(t, w)
	assert.Equal(t, mvccpb.Event_DELETE, resp.Events[0].Type)
	assert.Equal(t, int64(5), resp.Events[0].Kv.ModRevision)
}

func cancelWatch(t *testing.T, w pb.Watch_WatchClient, id int64) {
	t.Helper()
	req := &pb.WatchCancelRequest{WatchId: id}
	require.NoError(t, w.Send(&pb.WatchRequest{
		RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: req}}))
}

func TestWatchRefusals(t *testing.T) {
	s := Start(t)
	w := openWatch(t, dial(t, s))
	create(t, w, &pb.WatchCreateRequest{Key: []byte("a"), WatchId: 3})
	for _, req := range []*pb.WatchCreateRequest{
		{Key: []byte("b"), WatchId: 3},
		{Key: []byte("b"), RangeEnd: []byte("a")},
		{Key: []byte("b"), StartRevision: -1},
	} {
		resp := create(t, w, req)
		assert.True(t, resp.Created && resp.Canceled)
		assert.Equal(t, int64(-1), resp.WatchId)
		assert.NotEmpty(t, resp.CancelReason)
	}
}

func TestWatchCompacted(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	kv := pb.NewKVClient(conn)
	for range 3 {
		put(t, kv, "a", "1")
	}
	_, err := kv.Compact(testContext(t), &pb.CompactionRequest{Revision: 3})
	require.NoError(t, err)
	w := openWatch(t, conn)
	assert.False(t, create(t, w, &pb.WatchCreateRequest{Key: []byte("a"),
		StartRevision: 2}).Canceled)
	resp := recvWatch(t, w)
	assert.True(t, resp.Canceled)
	assert.Equal(t, int64(3), resp.CompactRevision)
	create(t, w, &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 3})
	assert.Len(t, recvWatch(t, w).Events, 2, "the compacted revision itself can be watched")
}

func TestWatchProgressFragmentsAndFilters(t *testing.T) {
	s := Start(t)
	s.opts.progressInterval = 20 * time.Millisecond
	conn := dial(t, s)
	w := openWatch(t, conn)
	create(t, w, &pb.WatchCreateRequest{Key: []byte{}, RangeEnd: []byte{0}, Fragment: true,
		Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}})
	progress := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
		ProgressRequest: &pb.WatchProgressRequest{}}}
	require.NoError(t, w.Send(progress))
	resp := recvWatch(t, w)
	assert.Equal(t, int64(-1), resp.WatchId)
	assert.Equal(t, int64(1), resp.Header.Revision)

	_, err := pb.NewKVClient(conn).Txn(testContext(t),
		&pb.TxnRequest{Success: []*pb.RequestOp{putOp("a"), putOp("b"), putOp("c")}})
	require.NoError(t, err)
	first, second := recvWatch(t, w), recvWatch(t, w)
	assert.True(t, first.Fragment)
	assert.Len(t, first.Events, 2)
	assert.False(t, second.Fragment)
	assert.Len(t, second.Events, 1)
	_, err = pb.NewKVClient(conn).DeleteRange(testContext(t),
		&pb.DeleteRangeRequest{Key: []byte("a")})
	require.NoError(t, err)

	create(t, w, &pb.WatchCreateRequest{Key: []byte("a"), ProgressNotify: true})
	resp = recvWatch(t, w)
	assert.Equal(t, int64(1), resp.WatchId, "periodic progress")
	assert.Equal(t, int64(3), resp.Header.Revision)
	assert.Empty(t, resp.Events)
}

func TestWatchOwnIDs(t *testing.T) {
	s := Start(t, WithOwnWatchIDs())
	w := openWatch(t, dial(t, s))
	assert.Zero(t, create(t, w, &pb.WatchCreateRequest{Key: []byte("a"), WatchId: 50}).WatchId)
	assert.Equal(t, int64(1), create(t, w, &pb.WatchCreateRequest{Key: []byte("a"),
		WatchId: 51}).WatchId)
}

func TestWatchAfterHalfClose(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	ctx, cancel := context.WithCancel(testContext(t))
	w, err := pb.NewWatchClient(conn).Watch(ctx)
	require.NoError(t, err)
	create(t, w, &pb.WatchCreateRequest{Key: []byte("a")})
	require.NoError(t, w.CloseSend())
	put(t, pb.NewKVClient(conn), "a", "1")
	assert.Len(t, recvWatch(t, w).Events, 1)
	open, _ := s.Streams("Watch")
	assert.Equal(t, 1, open)
	cancel()
	require.Eventually(t, func() bool {
		open, _ := s.Streams("Watch")
		return open == 0
	}, waitFor, tick)
}

func TestWatchScriptAndBreak(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	s.Watch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		md, _ := metadata.FromIncomingContext(ctx)
		if _, err := recv(); err != nil {
			return err
		}
		if err := send(&pb.WatchResponse{Created: true, WatchId: 42,
			CancelReason: md.Get("who")[0]}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	ctx := metadata.AppendToOutgoingContext(testContext(t), "who", "me")
	var streams []pb.Watch_WatchClient
	for range 2 {
		w, err := pb.NewWatchClient(conn).Watch(ctx)
		require.NoError(t, err)
		resp := create(t, w, &pb.WatchCreateRequest{Key: []byte("a")})
		assert.Equal(t, int64(42), resp.WatchId)
		assert.Equal(t, "me", resp.CancelReason)
		streams = append(streams, w)
	}
	assert.Equal(t, 2, s.Break("Watch", rpctypes.ErrGRPCNoLeader))
	for _, w := range streams {
		_, err := w.Recv()
		assert.Equal(t, codes.Unavailable, status.Code(err))
	}
	var numbers []int
	for _, r := range s.Requests("Watch") {
		if r.Msg != nil {
			numbers = append(numbers, r.Stream)
		}
	}
	assert.Equal(t, []int{1, 2}, numbers)
	require.Eventually(t, func() bool {
		open, _ := s.Streams("Watch")
		return open == 0
	}, waitFor, tick)
	s.Watch(nil)
	assert.Zero(t, create(t, openWatch(t, conn), &pb.WatchCreateRequest{Key: []byte("a")}).WatchId)
}

func TestTenThousandWatchers(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	w := openWatch(t, conn)
	const n = 10_000
	var sender sync.WaitGroup
	defer sender.Wait()
	sender.Go(func() {
		for i := range int64(n) {
			if w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
				CreateRequest: &pb.WatchCreateRequest{Key: []byte("a"), WatchId: i}}}) != nil {
				return
			}
		}
	})
	for i := range int64(n) {
		require.Equal(t, i, recvWatch(t, w).WatchId)
	}
	put(t, pb.NewKVClient(conn), "a", "1")
	for i := range int64(n) {
		resp := recvWatch(t, w)
		require.Equal(t, i, resp.WatchId)
		require.Len(t, resp.Events, 1)
	}
}
