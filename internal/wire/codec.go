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

// codec encodes messages with gRPC's codec for protobuf. It decodes the answers to gets, puts,
// deletes, transactions, watches and keepalives with this package's own, faster decoders, and all
// other messages with gRPC's codec.
type codec struct {
	encoding.CodecV2 // gRPC's codec for protobuf
}

// Name returns an empty name. With a name, gRPC would append it to the requests' content type,
// which must stay application/grpc.
func (codec) Name() string { return "" }

// Unmarshal resets v, and decodes one message into v.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if decode(data, v) {
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// decode tries to decode data into v with this package's own decoders, and reports whether it could
// do so. If not, v may hold a part of the message, and the caller must decode all of data with
// gRPC's codec.
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

// Options returns the call option that selects the codec of this package. It returns no option if
// the program has registered another codec in place of gRPC's codec for protobuf.
func Options() []grpc.CallOption {
	usual := encoding.GetCodecV2(grpcproto.Name)
	if !isGRPCs(usual) {
		return nil
	}
	return []grpc.CallOption{grpc.ForceCodecV2(codec{usual})}
}

// SnapshotOptions returns a call option for one stream that receives a snapshot. The option selects
// a codec that decodes all parts of the snapshot into one buffer. So the Blob of a part is valid
// only until the stream receives the next part. Each stream needs an option of its own.
// SnapshotOptions returns no option if the program has registered another codec in place of gRPC's
// codec for protobuf.
func SnapshotOptions() []grpc.CallOption {
	usual := encoding.GetCodecV2(grpcproto.Name)
	if !isGRPCs(usual) {
		return nil
	}
	return []grpc.CallOption{grpc.ForceCodecV2(&snapshotCodec{CodecV2: usual})}
}

// isGRPCs reports whether c is the codec that gRPC registers for protobuf. gRPC does not export the
// type of that codec, so isGRPCs checks in which package the type of c is declared.
func isGRPCs(c encoding.CodecV2) bool {
	t := reflect.TypeOf(c)
	return t != nil && t.Kind() == reflect.Pointer &&
		t.Elem().PkgPath() == reflect.TypeFor[grpc.EmptyCallOption]().PkgPath()+"/encoding/proto"
}

// Settle returns the options to use for a call. opts are the connection's default options and the
// call's own. If the program has selected a codec or a content subtype, Settle removes this
// package's codecs from opts, so that the program's choice takes effect. Otherwise it returns opts
// as they are. Without Settle, gRPC would use the last codec in opts, even if the program asks for
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
