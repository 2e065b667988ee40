package etcdfake

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const waitFor, tick = 10 * time.Second, 5 * time.Millisecond

// dial connects to the server over TCP until the test ends.
func dial(t testing.TB, s *Server) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.Addr(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// testContext ends with the test, or with a deadline that only a hanging test reaches.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func put(t testing.TB, kv pb.KVClient, value string) int64 {
	t.Helper()
	resp, err := kv.Put(testContext(t), &pb.PutRequest{Key: []byte("a"), Value: []byte(value)})
	require.NoError(t, err)
	return resp.Header.Revision
}

// openWatch opens a watch stream. The stream is cancelled when the test ends.
func openWatch(t testing.TB, conn grpc.ClientConnInterface) pb.Watch_WatchClient {
	t.Helper()
	w, err := pb.NewWatchClient(conn).Watch(testContext(t))
	require.NoError(t, err)
	return w
}

func create(t testing.TB, w pb.Watch_WatchClient, req *pb.WatchCreateRequest) *pb.WatchResponse {
	t.Helper()
	require.NoError(t, w.Send(&pb.WatchRequest{
		RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: req}}))
	return recvWatch(t, w)
}

func recvWatch(t testing.TB, w pb.Watch_WatchClient) *pb.WatchResponse {
	t.Helper()
	resp, err := w.Recv()
	require.NoError(t, err)
	return resp
}
