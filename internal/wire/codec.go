package wire

import (
	"reflect"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec encodes as gRPC's codec does, and decodes the messages of the fast path by itself.
type codec struct {
	encoding.CodecV2 // gRPC's own
}

// Name is empty so that the content type of requests stays the usual one.
func (codec) Name() string { return "" }

// Unmarshal decodes one message into v, which is reset first.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if decode(data, v) {
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// decode reports whether the fast path has decoded the message. If not, v may hold a part of it.
func decode(data mem.BufferSlice, v any) bool {
	c := cursorOn(data)
	switch m := v.(type) {
	case *pb.RangeResponse:
		m.Reset()
		return decodeRange(c, m)
	case *pb.RangeStreamResponse:
		m.Reset()
		return decodeRangeStream(c, m)
	case *pb.PutResponse:
		m.Reset()
		return decodePut(c, m, nil)
	case *pb.DeleteRangeResponse:
		m.Reset()
		return decodeDelete(c, m)
	case *pb.TxnResponse:
		m.Reset()
		return decodeTxn(c, m, 0)
	case *pb.WatchResponse:
		m.Reset()
		return decodeWatch(c, m)
	case *pb.LeaseKeepAliveResponse:
		m.Reset()
		return decodeKeepAlive(c, m)
	}
	return false
}

// Options returns the call option that selects the codec. It returns none if the program has
// registered another codec in the place of gRPC's codec for protobuf.
func Options() []grpc.CallOption {
	usual := encoding.GetCodecV2(grpcproto.Name)
	if !isGRPCs(usual) {
		return nil
	}
	return []grpc.CallOption{grpc.ForceCodecV2(codec{usual})}
}

// SnapshotOptions returns the call options of one stream that receives a snapshot; see
// [snapshotCodec]. Like Options, it leaves the codec to a program that has its own.
func SnapshotOptions() []grpc.CallOption {
	usual := encoding.GetCodecV2(grpcproto.Name)
	if !isGRPCs(usual) {
		return nil
	}
	return []grpc.CallOption{grpc.ForceCodecV2(&snapshotCodec{CodecV2: usual})}
}

// isGRPCs reports whether c is the codec that gRPC registers for protobuf. Its type is not
// exported, but it has a package.
func isGRPCs(c encoding.CodecV2) bool {
	t := reflect.TypeOf(c)
	return t != nil && t.Kind() == reflect.Pointer &&
		t.Elem().PkgPath() == reflect.TypeFor[grpc.EmptyCallOption]().PkgPath()+"/encoding/proto"
}

// Settle returns the options of a call, defaults of its connection included, without the codecs of
// this package if another codec or a content subtype is among them. gRPC alone would let the last
// codec win, and would keep a codec when the program asks for a subtype.
func Settle(opts []grpc.CallOption) []grpc.CallOption {
	own, others := 0, 0
	for _, o := range opts {
		switch {
		case isOwn(o):
			own++
		case choosesCodec(o):
			others++
		}
	}
	if own == 0 || others == 0 {
		return opts
	}
	kept := make([]grpc.CallOption, 0, len(opts)-own)
	for _, o := range opts {
		if !isOwn(o) {
			kept = append(kept, o)
		}
	}
	return kept
}

func isOwn(o grpc.CallOption) bool {
	force, ok := o.(grpc.ForceCodecV2CallOption)
	if !ok {
		return false
	}
	switch force.CodecV2.(type) {
	case codec, *snapshotCodec:
		return true
	}
	return false
}

func choosesCodec(o grpc.CallOption) bool {
	switch o.(type) {
	case grpc.ForceCodecV2CallOption, grpc.ForceCodecCallOption, grpc.CustomCodecCallOption,
		grpc.ContentSubtypeCallOption:
		return true
	}
	return false
}
