package retry

import (
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fakeStream returns the errors in recv, one per call of RecvMsg. A nil error stands for a message.
type fakeStream struct {
	grpc.ClientStream
	recv     []error
	requests []any
}

func (s *fakeStream) SendMsg(m any) error { s.requests = append(s.requests, m); return nil }
func (s *fakeStream) CloseSend() error    { return nil }
func (s *fakeStream) RecvMsg(any) error {
	err := s.recv[0]
	s.recv = s.recv[1:]
	return err
}

// streamConn opens the given streams in turn.
type streamConn struct {
	grpc.ClientConnInterface
	streams []*fakeStream
	opened  int
}

func (c *streamConn) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	c.opened++
	if s := c.streams[c.opened-1]; s != nil {
		return s, nil
	}
	return nil, status.Error(codes.Unavailable, "no connection")
}

// readAll sends a request on a new stream and returns how many messages came and the error after
// them.
func readAll(t *testing.T, c *Conn) (messages int, err error) {
	s, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true},
		pb.KV_RangeStream_FullMethodName)
	require.NoError(t, err)
	require.NoError(t, s.SendMsg(rangeReq))
	require.NoError(t, s.CloseSend())
	for {
		if err = s.RecvMsg(nil); err != nil {
			return messages, err
		}
		messages++
	}
}

func TestStreamedReadStartsOverUntilItsFirstMessage(t *testing.T) {
	gone := status.Error(codes.Unavailable, "gone")
	for _, tc := range []struct {
		name     string
		streams  []*fakeStream
		opened   int
		messages int
		want     error
	}{
		{"at once", []*fakeStream{{recv: []error{nil, nil, io.EOF}}}, 1, 2, io.EOF},
		{"empty", []*fakeStream{{recv: []error{io.EOF}}}, 1, 0, io.EOF},
		{"third try", []*fakeStream{{recv: []error{gone}}, nil, {recv: []error{nil, io.EOF}}}, 3, 1,
			io.EOF},
		{"after a message", []*fakeStream{{recv: []error{nil, gone}}}, 1, 1, gone},
		{"not to be repeated", []*fakeStream{{recv: []error{rpctypes.ErrGRPCCompacted}}}, 1, 0,
			rpctypes.ErrGRPCCompacted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, _ := newConn(t, 1)
				f := &streamConn{streams: tc.streams}
				c.cc = f
				n, err := readAll(t, c)
				assert.Equal(t, tc.want, err)
				assert.Equal(t, tc.messages, n)
				assert.Equal(t, tc.opened, f.opened)
				for _, s := range tc.streams {
					if s != nil {
						assert.Equal(t, []any{rangeReq}, s.requests)
					}
				}
			})
		})
	}
}

func TestTwoWayStreamsAreOpenedOnce(t *testing.T) {
	c, _, _ := newConn(t, 3)
	f := &streamConn{streams: []*fakeStream{nil, {}}}
	c.cc = f
	_, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		pb.Watch_Watch_FullMethodName)
	assert.Equal(t, codes.Unavailable, status.Code(err))
	s, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		pb.Watch_Watch_FullMethodName)
	require.NoError(t, err)
	assert.Same(t, f.streams[1], s)
}
