package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// otherCodec is a codec that a program brings.
type otherCodec struct{ encoding.CodecV2 }

// oldCodec is a codec that a program brings, and that implements gRPC's older interface.
type oldCodec struct{ encoding.Codec }

func (oldCodec) String() string { return "old" }

// TestAnotherCodecWins: if the program's call options contain a codec or a content subtype, Settle
// removes the option with the client's codec. The order of the two options does not matter.
func TestAnotherCodecWins(t *testing.T) {
	plain := grpc.WaitForReady(true)
	for name, other := range map[string]grpc.CallOption{
		"codec":     grpc.ForceCodecV2(otherCodec{usual}),
		"old codec": grpc.ForceCodec(oldCodec{}),
		//nolint:staticcheck // programs may use it
		"older codec": grpc.CallCustomCodec(oldCodec{}),
		"subtype":     grpc.CallContentSubtype("json"),
	} {
		for _, own := range [][]grpc.CallOption{Options(), SnapshotOptions()} {
			require.Len(t, own, 1)
			want := []grpc.CallOption{plain, other}
			assert.Equal(t, want, Settle([]grpc.CallOption{own[0], plain, other}), name)
			assert.Equal(t, want, Settle([]grpc.CallOption{plain, other, own[0]}), name)
		}
	}
	alone := []grpc.CallOption{Options()[0], plain, SnapshotOptions()[0]}
	assert.Equal(t, alone, Settle(alone))
	assert.Zero(t, testing.AllocsPerRun(10, func() { Settle(alone) }))
}

// TestOnlyGRPCsCodecIsReplaced: isGRPCs is false for a codec that a program has registered for
// protobuf, with gRPC's current or older interface.
func TestOnlyGRPCsCodecIsReplaced(t *testing.T) {
	assert.True(t, isGRPCs(usual))
	assert.False(t, isGRPCs(otherCodec{usual}))
	assert.False(t, isGRPCs(&otherCodec{usual}))
	assert.False(t, isGRPCs(nil)) // GetCodecV2 returns nil for a codec with gRPC's older interface
}

// TestCodecLeavesOtherMessagesToTheLibrary: the codec uses gRPC's codec to encode all messages, and
// to decode the types that this package does not know.
func TestCodecLeavesOtherMessagesToTheLibrary(t *testing.T) {
	c := codec{usual}
	assert.Empty(t, c.Name())
	want := &pb.StatusResponse{Version: "3.7.0", DbSize: 5}
	data, err := c.Marshal(want)
	require.NoError(t, err)
	got := &pb.StatusResponse{}
	require.NoError(t, c.Unmarshal(data, got))
	assert.True(t, proto.Equal(want, got))
	assert.Error(t, c.Unmarshal(mem.BufferSlice{mem.SliceBuffer("x")}, "no message"))
}

// TestUnmarshalResetsTheMessage: Unmarshal removes all that the message contained before.
func TestUnmarshalResetsTheMessage(t *testing.T) {
	want := testRange(2, 3)
	got := testRange(5, 9)
	got.More = true
	require.NoError(t, codec{usual}.Unmarshal(inPieces(encode(t, want), frame), got))
	assert.True(t, proto.Equal(want, got))
}

// TestDeepNestingIsTheLibrarys: if transactions are nested more deeply than any server nests them,
// this package's decoder gives up. The protobuf library then decodes or refuses the message.
func TestDeepNestingIsTheLibrarys(t *testing.T) {
	for _, depth := range []int{1, maxDepth - 1, maxDepth + 2, 200, 6000} {
		var data []byte
		for range depth {
			op := protowire.AppendBytes([]byte{opTxn}, data)
			data = protowire.AppendBytes([]byte{txnResponses}, op)
		}
		compare(t, &pb.TxnResponse{}, data, 1000)
		fast := decode(inPieces(data, 1000), &pb.TxnResponse{})
		assert.Equal(t, depth < maxDepth, fast, "%d deep", depth)
	}
}

// TestSplitMessageFieldsAreMerged: if a message field that is not repeated comes twice, this
// package's decoder gives the message up, and the protobuf library merges the two.
func TestSplitMessageFieldsAreMerged(t *testing.T) {
	key, value := &mvccpb.KeyValue{Key: []byte("k")}, &mvccpb.KeyValue{Value: []byte("v")}
	id, revision := &pb.ResponseHeader{MemberId: 1}, &pb.ResponseHeader{Revision: 7}
	event := func(halves ...*mvccpb.Event) []byte {
		var data []byte
		for _, h := range halves {
			data = append(data, encode(t, h)...)
		}
		return protowire.AppendBytes([]byte{watchEvents}, data)
	}
	for _, tc := range []struct {
		m    proto.Message
		data []byte
	}{
		{&pb.PutResponse{}, append(encode(t, &pb.PutResponse{PrevKv: key}),
			encode(t, &pb.PutResponse{PrevKv: value})...)},
		{&pb.PutResponse{}, append(encode(t, &pb.PutResponse{Header: id}),
			encode(t, &pb.PutResponse{Header: revision})...)},
		{&pb.WatchResponse{}, append(encode(t, &pb.WatchResponse{Header: id}),
			encode(t, &pb.WatchResponse{Header: revision})...)},
		{&pb.WatchResponse{}, event(&mvccpb.Event{Kv: key}, &mvccpb.Event{Kv: value})},
		{&pb.WatchResponse{}, event(&mvccpb.Event{PrevKv: key}, &mvccpb.Event{PrevKv: value})},
	} {
		compare(t, tc.m, tc.data, 1000)
		assert.False(t, decode(inPieces(tc.data, 1000), newLike(tc.m)), "%T %x", tc.m, tc.data)
	}
}
