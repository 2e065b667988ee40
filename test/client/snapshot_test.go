package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// sendParts returns a handler that sends the blobs as parts of a snapshot, then calls the function
// end.
func sendParts(end func(grpc.ServerStream) error, blobs ...string) etcdfake.StreamHandler {
	return func(s grpc.ServerStream) error {
		if err := s.RecvMsg(&pb.SnapshotRequest{}); err != nil {
			return err
		}
		for _, b := range blobs {
			if err := s.SendMsg(&pb.SnapshotResponse{Blob: []byte(b)}); err != nil {
				return err
			}
		}
		return end(s)
	}
}

// untilGone keeps a stream open until its client ends it.
func untilGone(s grpc.ServerStream) error {
	<-s.Context().Done()
	return nil
}

func endWith(err error) func(grpc.ServerStream) error {
	return func(grpc.ServerStream) error { return err }
}

func TestSnapshotIsWhatTheServerSends(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	resp, err := client.SnapshotWithVersion(t.Context())
	require.NoError(t, err)
	assert.NotEmpty(t, resp.Version)
	got, err := io.ReadAll(iotest.OneByteReader(resp.Snapshot))
	require.NoError(t, err)
	want := sentSnapshot(t, client)
	assert.Greater(t, len(want), 4096)
	assert.True(t, bytes.Equal(want, got))
	n, err := resp.Snapshot.Read(make([]byte, 1))
	assert.Zero(t, n)
	assert.Equal(t, io.EOF, err, "the end stays the end")
	assert.NoError(t, resp.Snapshot.Close())
	_, err = resp.Snapshot.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)

	r, err := client.Snapshot(t.Context())
	require.NoError(t, err)
	got, err = io.ReadAll(r)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got))
	assert.NoError(t, r.Close())
	requireNoStreams(t, fake)
}

func TestSnapshotHasTheHeaderThatTheServerSends(t *testing.T) {
	fake := etcdfake.Start(t)
	fake.Stream("Snapshot", func(s grpc.ServerStream) error {
		return s.SendMsg(&pb.SnapshotResponse{Header: &pb.ResponseHeader{Revision: 7},
			Blob: []byte("a")})
	})
	resp, err := testclient.OpenFake(t, fake).SnapshotWithVersion(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 7, resp.Header.GetRevision())
	assert.NoError(t, resp.Snapshot.Close())
}

// sentSnapshot returns what the server sends, received without the client's own code.
func sentSnapshot(t *testing.T, client *clientv3.Client) (sent []byte) {
	t.Helper()
	stream, err := pb.NewMaintenanceClient(client.ActiveConnection()).Snapshot(t.Context(),
		&pb.SnapshotRequest{})
	require.NoError(t, err)
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			return sent
		}
		require.NoError(t, err)
		sent = append(sent, part.Blob...)
	}
}

func requireNoStreams(t *testing.T, fake *etcdfake.Server) {
	t.Helper()
	require.Eventually(t, func() bool { open, _ := fake.Streams("Snapshot"); return open == 0 },
		time.Minute, time.Millisecond, "the request has ended at the server")
}

func TestSnapshotErrorsAreConverted(t *testing.T) {
	for name, tc := range map[string]struct {
		script etcdfake.StreamHandler
		want   error
	}{
		"at once": {sendParts(endWith(rpctypes.ErrGRPCPermissionDenied)),
			rpctypes.ErrPermissionDenied},
		"after two parts": {sendParts(endWith(rpctypes.ErrGRPCNoSpace), "a", "b"),
			rpctypes.ErrNoSpace},
		"nothing was sent":       {sendParts(endWith(nil)), io.ErrUnexpectedEOF},
		"empty parts are no end": {sendParts(endWith(nil), "", "ab", "", "", "c", ""), nil},
		"another status": {sendParts(endWith(status.Error(codes.DataLoss, "disk")), "a"),
			status.Error(codes.DataLoss, "disk")},
		"unavailable after a part": {sendParts(endWith(status.Error(codes.Unavailable, "stopped")),
			"a"), status.Error(codes.Unavailable, "stopped")},
	} {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.Start(t)
			fake.Stream("Snapshot", tc.script)
			got, err := readSnapshot(t.Context(), testclient.OpenFake(t, fake))
			if tc.want == nil {
				require.NoError(t, err)
				assert.Equal(t, "abc", got)
				return
			}
			if want, ok := status.FromError(tc.want); ok {
				assert.Equal(t, want.Code(), status.Code(err))
			}
			assert.Equal(t, tc.want.Error(), err.Error())
			requireNoStreams(t, fake)
		})
	}
}

// readSnapshot reads a whole snapshot. It checks that a Read after an error returns that error
// again.
func readSnapshot(ctx context.Context, m clientv3.Maintenance) (string, error) {
	r, err := m.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		if _, again := r.Read(make([]byte, 1)); again != err {
			return "", errors.Join(errors.New("the next Read returned another error"), again, err)
		}
	}
	return string(got), err
}

func TestSnapshotEndsWithItsContextOrReader(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(cancel context.CancelFunc, r io.Closer)
		want error
	}{
		"context cancelled": {func(cancel context.CancelFunc, _ io.Closer) {
			cancel()
		}, context.Canceled},
		"reader closed": {func(_ context.CancelFunc, r io.Closer) {
			r.Close()
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.Start(t)
			fake.Stream("Snapshot", sendParts(untilGone, "a"))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := testclient.OpenFake(t, fake).Snapshot(ctx)
			require.NoError(t, err)
			first := make([]byte, 8)
			n, err := r.Read(first)
			require.NoError(t, err)
			assert.Equal(t, "a", string(first[:n]))
			waiting := make(chan error)
			go func() {
				_, err := r.Read(first)
				waiting <- err
			}()
			tc.end(cancel, r)
			assert.Equal(t, tc.want, <-waiting)
			requireNoStreams(t, fake)
			assert.NoError(t, r.Close())
		})
	}
}

// TestSnapshotOfDoneContextFails shows that Read returns the error of a context that is over, even
// if parts of the snapshot arrived before.
func TestSnapshotOfDoneContextFails(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r, err := client.Snapshot(ctx)
	require.NoError(t, err)
	defer r.Close()
	<-ctx.Done()
	_, err = io.ReadAll(r)
	assert.Equal(t, context.DeadlineExceeded, err)

	_, err = client.Snapshot(ctx)
	assert.Equal(t, context.DeadlineExceeded, err)
}

// TestSnapshotOfEmptyPartsEndsWithItsContext: a server sends nothing but empty parts. The read
// returns when its context ends.
func TestSnapshotOfEmptyPartsEndsWithItsContext(t *testing.T) {
	fake := etcdfake.Start(t)
	fake.Stream("Snapshot", func(s grpc.ServerStream) error {
		for {
			if err := s.SendMsg(&pb.SnapshotResponse{}); err != nil {
				return err
			}
		}
	})
	client := testclient.OpenFake(t, fake)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := readSnapshot(ctx, client)
	assert.Equal(t, context.DeadlineExceeded, err)
	requireNoStreams(t, fake)
}

func TestSnapshotStartIsRetried(t *testing.T) {
	fake := etcdfake.Start(t)
	fake.Fail("Snapshot", 2, status.Error(codes.Unavailable, "starting"))
	client := testclient.OpenFake(t, fake)
	got, err := readSnapshot(t.Context(), client)
	require.NoError(t, err)
	assert.True(t, string(sentSnapshot(t, client)) == got)
}

func TestSnapshotEndsWithTheClient(t *testing.T) {
	fake := etcdfake.Start(t)
	fake.Stream("Snapshot", sendParts(untilGone, "a"))
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{fake.Addr()}})
	require.NoError(t, err)
	r, err := client.Snapshot(t.Context())
	require.NoError(t, err)
	assert.NoError(t, client.Close())
	_, err = io.ReadAll(r)
	assert.True(t, clientv3.IsConnCanceled(err), err)
	assert.NoError(t, r.Close())
}
