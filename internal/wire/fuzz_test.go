package wire

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// usual is gRPC's codec.
var usual = encoding.GetCodecV2(grpcproto.Name)

// decoded are the types of messages that this package decodes without the protobuf library.
var decoded = []proto.Message{
	&pb.RangeResponse{}, &pb.RangeStreamResponse{}, &pb.PutResponse{}, &pb.DeleteRangeResponse{},
	&pb.TxnResponse{}, &pb.WatchResponse{}, &pb.LeaseKeepAliveResponse{},
}

// compare decodes data with this package's codec and with the protobuf library, and fails the test
// if the results differ. This package's codec gets data in buffers of at most piece bytes.
func compare(t testing.TB, m proto.Message, data []byte, piece int) {
	t.Helper()
	want, got := newLike(m), newLike(m)
	wantErr := proto.Unmarshal(data, want)
	pieces := inPieces(bytes.Clone(data), piece)
	gotErr := codec{usual}.Unmarshal(pieces, got)
	for _, p := range pieces {
		clear(p.ReadOnlyData()) // after Unmarshal, the transport may reuse the buffers
	}
	require.Equal(t, wantErr == nil, gotErr == nil, "%T: %v, %v", m, wantErr, gotErr)
	if wantErr != nil {
		return
	}
	require.True(t, proto.Equal(want, got), "%v, %v", want, got)
	require.True(t, reflect.DeepEqual(want, got), "%#v, %#v", want, got)
	require.True(t, proto.Equal(want, proto.Clone(got)))
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(got)
	require.NoError(t, err)
	expected, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	require.NoError(t, err)
	require.Equal(t, expected, again)
}

func newLike(m proto.Message) proto.Message { return m.ProtoReflect().New().Interface() }

// FuzzDecode checks that this package decodes any input as the protobuf library does.
func FuzzDecode(f *testing.F) {
	for kind, m := range decoded {
		for seed := range uint64(4) {
			g := generator{rand.New(rand.NewPCG(seed, uint64(kind)))}
			whole := encode(f, g.message(newLike(m)))
			f.Add(byte(kind), byte(7), whole)
			f.Add(byte(kind), byte(255), g.mutated(whole))
		}
	}
	f.Fuzz(func(t *testing.T, kind, piece byte, data []byte) {
		compare(t, decoded[int(kind)%len(decoded)], data, int(piece)+1)
	})
}

// FuzzDecodeGenerated checks that this package decodes as the protobuf library does. The input is
// random messages, and slightly damaged ones. The fuzzer chooses only the seed.
func FuzzDecodeGenerated(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { compareGenerated(t, seed) })
}

func compareGenerated(t testing.TB, seed uint64) {
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	m := decoded[g.IntN(len(decoded))]
	data := encode(t, g.message(newLike(m)))
	compare(t, m, data, 1+g.IntN(40))
	compare(t, m, data, len(data)+1)
	for range 3 {
		data = g.mutated(data)
		compare(t, m, data, 1+g.IntN(300))
	}
}

// TestDecodesAsTheLibrary runs the check of FuzzDecodeGenerated with fixed seeds.
func TestDecodesAsTheLibrary(t *testing.T) {
	for seed := range uint64(500) {
		compareGenerated(t, seed)
	}
}

// generator makes messages and damages them.
type generator struct{ *rand.Rand }

// message fills m, field by field.
func (g generator) message(m proto.Message) proto.Message {
	switch m := m.(type) {
	case *pb.RangeResponse:
		*m = pb.RangeResponse{Header: g.header(), Kvs: g.pairs(), More: g.IntN(2) == 0,
			Count: g.number()}
	case *pb.RangeStreamResponse:
		if g.IntN(8) > 0 {
			m.RangeResponse = g.message(&pb.RangeResponse{}).(*pb.RangeResponse)
		}
	case *pb.PutResponse:
		*m = pb.PutResponse{Header: g.header(), PrevKv: g.pair()}
	case *pb.DeleteRangeResponse:
		*m = pb.DeleteRangeResponse{Header: g.header(), Deleted: g.number(), PrevKvs: g.pairs()}
	case *pb.TxnResponse:
		*m = pb.TxnResponse{Header: g.header(), Succeeded: g.IntN(2) == 0}
		for range g.IntN(4) {
			m.Responses = append(m.Responses, g.responseOp())
		}
	case *pb.WatchResponse:
		*m = pb.WatchResponse{Header: g.header(), WatchId: g.number(), Created: g.IntN(4) == 0,
			Canceled: g.IntN(4) == 0, CompactRevision: g.number(), Fragment: g.IntN(4) == 0}
		m.CancelReason = []string{"", "", "why", "ünïcode"}[g.IntN(4)]
		for range g.length() {
			m.Events = append(m.Events, g.event())
		}
	case *pb.LeaseKeepAliveResponse:
		*m = pb.LeaseKeepAliveResponse{Header: g.header(), ID: g.number(), TTL: g.number()}
	}
	if g.IntN(20) == 0 {
		m.ProtoReflect().SetUnknown(g.unknown())
	}
	return m
}

func (g generator) responseOp() *pb.ResponseOp {
	switch g.IntN(5) {
	case 0:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
			ResponseRange: g.message(&pb.RangeResponse{}).(*pb.RangeResponse)}}
	case 1:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{
			ResponsePut: g.message(&pb.PutResponse{}).(*pb.PutResponse)}}
	case 2:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{
			ResponseDeleteRange: g.message(&pb.DeleteRangeResponse{}).(*pb.DeleteRangeResponse)}}
	case 3:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{
			ResponseTxn: g.message(&pb.TxnResponse{}).(*pb.TxnResponse)}}
	}
	return &pb.ResponseOp{}
}

func (g generator) header() *pb.ResponseHeader {
	if g.IntN(4) == 0 {
		return nil
	}
	h := &pb.ResponseHeader{ClusterId: uint64(g.number()), MemberId: uint64(g.number()),
		Revision: g.number(), RaftTerm: uint64(g.number())}
	if g.IntN(40) == 0 {
		h.ProtoReflect().SetUnknown(g.unknown())
	}
	return h
}

// length chooses how many pairs or events a list has. Long lists are decoded in several groups.
func (g generator) length() int { return g.IntN([]int{1, 2, 3, 3, 5, 300}[g.IntN(6)]) }

func (g generator) pairs() (kvs []*mvccpb.KeyValue) {
	for range g.length() {
		kv := g.pair()
		if kv == nil {
			kv = &mvccpb.KeyValue{}
		}
		kvs = append(kvs, kv)
	}
	return kvs
}

func (g generator) pair() *mvccpb.KeyValue {
	if g.IntN(4) == 0 {
		return nil
	}
	kv := &mvccpb.KeyValue{Key: g.bytes(), Value: g.bytes(), CreateRevision: g.number(),
		ModRevision: g.number(), Version: g.number(), Lease: g.number()}
	if g.IntN(200) == 0 {
		kv.ProtoReflect().SetUnknown(g.unknown())
	}
	return kv
}

func (g generator) event() *mvccpb.Event {
	e := &mvccpb.Event{Type: mvccpb.Event_EventType(g.IntN(3)), Kv: g.pair()}
	if g.IntN(3) == 0 {
		e.PrevKv = g.pair()
	}
	if g.IntN(200) == 0 {
		e.ProtoReflect().SetUnknown(g.unknown())
	}
	return e
}

func (g generator) number() int64 {
	return int64(g.Uint64() >> (g.IntN(65))) // of any length
}

func (g generator) bytes() []byte {
	size := g.IntN([]int{1, 8, 40, 300}[g.IntN(4)])
	if g.IntN(300) == 0 {
		size = g.IntN(100_000)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// unknown returns a field that api/v3 does not have, of any wire type.
func (g generator) unknown() []byte {
	number := protowire.Number(12 + g.IntN(40))
	switch g.IntN(5) {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), 7)
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), 7)
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), 7)
	case 3:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType),
			g.bytes())
	}
	group := protowire.AppendTag(nil, number, protowire.StartGroupType)
	return protowire.AppendTag(group, number, protowire.EndGroupType)
}

// mutated returns a damaged copy of data, an encoded message. It damages any byte, or the content
// of one field, or it appends a damaged copy of one field.
func (g generator) mutated(data []byte) []byte {
	fields := split(data)
	if len(fields) == 0 || g.IntN(3) == 0 {
		return g.damaged(bytes.Clone(data))
	}
	i := g.IntN(len(fields))
	number, kind, n := protowire.ConsumeTag(fields[i])
	if kind != protowire.BytesType {
		return g.damaged(bytes.Clone(data))
	}
	content, _ := protowire.ConsumeBytes(fields[i][n:])
	content = g.mutated(content)
	changed := protowire.AppendBytes(protowire.AppendTag(nil, number, kind), content)
	if g.IntN(2) == 0 {
		return append(bytes.Clone(data), changed...)
	}
	fields[i] = changed
	return bytes.Join(fields, nil)
}

// split returns the fields of data, or nil if it is not a list of fields.
func split(data []byte) (fields [][]byte) {
	for len(data) > 0 {
		_, _, n := protowire.ConsumeField(data)
		if n < 0 {
			return nil
		}
		fields, data = append(fields, data[:n]), data[n:]
	}
	return fields
}

// damaged damages data in one of several ways, and returns the result.
func (g generator) damaged(data []byte) []byte {
	at := 0
	if len(data) > 0 {
		at = g.IntN(len(data))
	}
	number := protowire.Number(1 + g.IntN(12))
	switch g.IntN(9) {
	case 0:
		return data[:at]
	case 1: // every field comes twice
		return append(data, data...)
	case 2:
		return append(data, g.unknown()...)
	case 3: // a field of bytes without the bytes, only their length
		tag := protowire.AppendTag(data, number, protowire.BytesType)
		return protowire.AppendVarint(tag, g.Uint64()>>g.IntN(64))
	case 4: // a scalar
		tag := protowire.AppendTag(data, number, protowire.VarintType)
		return protowire.AppendVarint(tag, g.Uint64()>>g.IntN(64))
	case 5: // an empty message or string, or a list of scalars
		tag := protowire.AppendTag(data, number, protowire.BytesType)
		return protowire.AppendBytes(tag, [][]byte{nil, {7, 8}}[g.IntN(2)])
	case 6:
		return append(data[:at:at], append(g.bytes(), data[at:]...)...)
	case 7: // a tag and a number that take more bytes than they need
		return append(data, 0x80|byte(number)<<3, 0, 0x80, 0)
	}
	if len(data) > 0 {
		data[at] ^= 1 << g.IntN(8)
	}
	return data
}
