package wire

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inPieces returns data as a connection delivers it: in buffers of at most n bytes.
func inPieces(data []byte, n int) mem.BufferSlice {
	var pieces mem.BufferSlice
	for len(data) > n {
		pieces = append(pieces, mem.SliceBuffer(data[:n]))
		data = data[n:]
	}
	return append(pieces, mem.SliceBuffer(data))
}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	require.NoError(t, err)
	return data
}

func TestSnapshotCodecDecodesParts(t *testing.T) {
	c := snapshotCodec{CodecV2: usual}
	for _, want := range []*pb.SnapshotResponse{
		{Header: &pb.ResponseHeader{Revision: 7}, RemainingBytes: 100,
			Blob: bytes.Repeat([]byte("x"), 40_000), Version: "3.7.0"},
		{RemainingBytes: 1 << 60, Blob: []byte("short")},
		{},
		{Blob: bytes.Repeat([]byte("y"), 100_000)},
		{Version: "3.6.0"},
	} {
		got := &pb.SnapshotResponse{}
		require.NoError(t, c.Unmarshal(inPieces(encode(t, want), 16<<10), got))
		assert.True(t, proto.Equal(want, got), "%.200v", got)
	}
	assert.Empty(t, c.Name())
}

func TestSnapshotCodecReusesItsBuffer(t *testing.T) {
	c := snapshotCodec{CodecV2: usual}
	data := inPieces(encode(t, &pb.SnapshotResponse{Blob: make([]byte, 32<<10)}), 16<<10)
	got := &pb.SnapshotResponse{}
	require.NoError(t, c.Unmarshal(data, got))
	allocated := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			_ = c.Unmarshal(data, got)
		}
	}).AllocedBytesPerOp()
	assert.Less(t, allocated, int64(1<<10))
}

func TestSnapshotCodecLeavesOtherMessagesToTheUsualOne(t *testing.T) {
	c := snapshotCodec{CodecV2: usual}
	want := &pb.RangeResponse{Count: 3}
	data, err := c.Marshal(want)
	require.NoError(t, err)
	got := &pb.RangeResponse{}
	require.NoError(t, c.Unmarshal(data, got))
	assert.True(t, proto.Equal(want, got))
}

func FuzzSnapshotCodec(f *testing.F) {
	whole := encode(f, &pb.SnapshotResponse{
		Header: &pb.ResponseHeader{ClusterId: 1, Revision: 7}, RemainingBytes: 3,
		Blob: []byte("blob"), Version: "3.7.0",
	})
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(whole), whole...))
	f.Add([]byte{blobField << 3, 5})
	f.Add([]byte{4<<3 | 2, 1, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var want, got pb.SnapshotResponse
		wantErr := proto.Unmarshal(data, &want)
		gotErr := (&snapshotCodec{CodecV2: usual}).Unmarshal(inPieces(data, 5), &got)
		require.Equal(t, wantErr == nil, gotErr == nil, "%v, %v", wantErr, gotErr)
		if wantErr == nil {
			require.True(t, proto.Equal(&want, &got), "%v, %v", &want, &got)
		}
	})
}
