package wire

import (
	"reflect"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec encodes messages with gRPC's codec. It decodes the messages of the fast path itself, and
// all others with gRPC's codec.
type codec struct {
	encoding.CodecV2 // gRPC's codec for protobuf
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

// decode decodes the message into v, and reports whether it is one that the fast path can decode.
// If it is not, v may hold a part of the message.
func decode(data mem.BufferSlice, v any) bool {
	if m, ok := v.(interface{ Reset() }); ok {
		m.Reset()
	}
	c := cursorOn(data)
	switch m := v.(type) {
	case *pb.RangeResponse:
		return decodeRange(c, m)
	case *pb.RangeStreamResponse:
		return decodeRangeStream(c, m)
	case *pb.PutResponse:
		return decodePut(c, m, nil)
	case *pb.DeleteRangeResponse:
		return decodeDelete(c, m)
	case *pb.TxnResponse:
		return decodeTxn(c, m, 0)
	case *pb.WatchResponse:
		return decodeWatch(c, m)
	case *pb.LeaseKeepAliveResponse:
		return decodeKeepAlive(c, m)
	}
	return false
}

// Options returns the call option that selects the codec. It returns no option if the program has
// registered another codec in place of gRPC's codec for protobuf.
func Options() []grpc.CallOption {
	usual := encoding.GetCodecV2(grpcproto.Name)
	if !isGRPCs(usual) {
		return nil
	}
	return []grpc.CallOption{grpc.ForceCodecV2(codec{usual})}
}

// SnapshotOptions returns the call option for one stream that receives a snapshot; see
// [snapshotCodec]. It returns no option if the program has registered another codec in place of
// gRPC's codec for protobuf.
func SnapshotOptions() []grpc.CallOption {
	usual := encoding.GetCodecV2(grpcproto.Name)
	if !isGRPCs(usual) {
		return nil
	}
	return []grpc.CallOption{grpc.ForceCodecV2(&snapshotCodec{CodecV2: usual})}
}

// isGRPCs reports whether c is the codec that gRPC registers for protobuf. gRPC does not export the
// type of that codec, so isGRPCs compares the package of the type.
func isGRPCs(c encoding.CodecV2) bool {
	t := reflect.TypeOf(c)
	return t != nil && t.Kind() == reflect.Pointer &&
		t.Elem().PkgPath() == reflect.TypeFor[grpc.EmptyCallOption]().PkgPath()+"/encoding/proto"
}

// Settle returns the options to use for a call, from opts, which include the defaults of the
// connection. If opts selects another codec or a content subtype, Settle leaves out the codecs of
// this package. Without Settle, gRPC would use the last codec in opts, even if the program asks for
// a content subtype.
func Settle(opts []grpc.CallOption) []grpc.CallOption {
	others := func(o grpc.CallOption) bool { return choosesCodec(o) && !isOwn(o) }
	if !slices.ContainsFunc(opts, isOwn) || !slices.ContainsFunc(opts, others) {
		return opts
	}
	return slices.DeleteFunc(slices.Clone(opts), isOwn)
}

// isOwn reports whether o selects a codec of this package.
func isOwn(o grpc.CallOption) bool {
	force, _ := o.(grpc.ForceCodecV2CallOption)
	switch force.CodecV2.(type) {
	case codec, *snapshotCodec:
		return true
	}
	return false
}

// choosesCodec reports whether o selects a codec or a content subtype.
func choosesCodec(o grpc.CallOption) bool {
	switch o.(type) {
	case grpc.ForceCodecV2CallOption, grpc.ForceCodecCallOption, grpc.CustomCodecCallOption,
		grpc.ContentSubtypeCallOption:
		return true
	}
	return false
}
