package client_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// countingCodec is a program's codec for protobuf.
type countingCodec struct {
	encoding.CodecV2
	decoded atomic.Int64
}

func newCountingCodec() *countingCodec {
	return &countingCodec{CodecV2: encoding.GetCodecV2(grpcproto.Name)}
}

func (c *countingCodec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v.(type) {
	case *pb.RangeResponse, *pb.WatchResponse: // the fake server decodes the requests
		c.decoded.Add(1)
	}
	return c.CodecV2.Unmarshal(data, v)
}

func (c *countingCodec) Name() string { return "counting" }

// TestContentTypeIsTheUsualOne shows that requests have gRPC's usual content type, although the
// client has its own codec.
func TestContentTypeIsTheUsualOne(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	_, err := c.Get(t.Context(), "a")
	require.NoError(t, err)
	<-c.Watch(t.Context(), "a", clientv3.WithCreatedNotify())
	for _, method := range []string{"Range", "Watch"} {
		assert.Equal(t, []string{"application/grpc"}, s.LastMetadata(method)["content-type"],
			method)
	}
}

// TestProgramsCodecWins shows that a codec among the options of a program decodes all answers,
// those of streams too, and that a content subtype selects the codec that is registered for it.
func TestProgramsCodecWins(t *testing.T) {
	forced, registered := newCountingCodec(), newCountingCodec()
	encoding.RegisterCodecV2(registered) // under its own name
	for name, tc := range map[string]struct {
		codec *countingCodec
		opt   grpc.CallOption
	}{
		"forced":  {forced, grpc.ForceCodecV2(forced)},
		"subtype": {registered, grpc.CallContentSubtype(registered.Name())},
	} {
		_, c := testclient.StartFake(t, clientv3.Config{DialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(tc.opt)}})
		for range 3 {
			_, err := c.Get(t.Context(), "a")
			require.NoError(t, err, name)
		}
		assert.EqualValues(t, 3, tc.codec.decoded.Load(), name)
		<-c.Watch(t.Context(), "a", clientv3.WithCreatedNotify())
		assert.EqualValues(t, 4, tc.codec.decoded.Load(), name)
	}
}
