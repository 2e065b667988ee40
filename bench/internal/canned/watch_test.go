package canned

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// openStream opens a watch stream of a server in the test's process.
func openStream(t *testing.T) pb.Watch_WatchClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, done := NewServer(), make(chan error, 1)
	// This goroutine ends when server.Stop is called; the clean-up waits for it.
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	conn, err := grpc.NewClient(listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	stream, err := pb.NewWatchClient(conn).Watch(context.Background())
	require.NoError(t, err)
	return stream
}

func create(t *testing.T, stream pb.Watch_WatchClient, key string, from int64) (id int64) {
	t.Helper()
	require.NoError(t, stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: &pb.WatchCreateRequest{Key: []byte(key), StartRevision: from}}}))
	resp, err := stream.Recv()
	require.NoError(t, err)
	require.True(t, resp.Created)
	return resp.WatchId
}

// revisions receives n events of the watch with the given ID, and returns the revision of the last
// event. The first event must have the revision after+1.
func revisions(t *testing.T, stream pb.Watch_WatchClient, id int64, n int, after int64) int64 {
	t.Helper()
	for got := 0; got < n; {
		resp, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, id, resp.WatchId)
		for _, event := range resp.Events {
			got++
			after++
			require.Equal(t, after, event.Kv.ModRevision)
		}
	}
	return after
}

// A client can cancel a watch before it has received all events. If it creates the watch again from
// the next revision, it receives the rest of the events.
func TestWatchGoesOnAtTheRevisionThatIsAskedFor(t *testing.T) {
	stream := openStream(t)
	const key = "watch/5/40/1000/"
	id := create(t, stream, key, 0)
	last := revisions(t, stream, id, 50, revision)
	require.NoError(t, stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
		CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}))
	for {
		resp, err := stream.Recv()
		require.NoError(t, err)
		if resp.Canceled {
			break
		}
	}
	id = create(t, stream, key, last+1)
	require.Equal(t, revision+200, revisions(t, stream, id, 150, last))
}

func TestSpreadGoesRoundAllWatches(t *testing.T) {
	stream := openStream(t)
	ids := []int64{create(t, stream, "a", 0), create(t, stream, "b", 0)}
	ids = append(ids, create(t, stream, "spread/1/6/0/", 0))
	last := revision
	for i := range 6 {
		last = revisions(t, stream, ids[i%3], 1, last)
	}
}

// TestSenderWaitsForTheEarliestResponse has a stream with three watches that get responses at
// different rates. The sending goroutine waits until the earliest response is due.
func TestSenderWaitsForTheEarliestResponse(t *testing.T) {
	w := &watchers{wake: make(chan struct{}, 1)}
	for id, key := range []string{"watch/1/10/2/", "watch/1/10/100/", "watch/1/10/1/"} {
		f, err := newFeed(key, int64(id))
		require.NoError(t, err)
		w.feeds = append(w.feeds, f)
	}
	message, due, stopped := w.next(time.Now().Add(-time.Second))
	require.Empty(t, message)
	require.False(t, stopped)
	require.Equal(t, w.feeds[1].due, due)
}
