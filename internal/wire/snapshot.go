package wire

import (
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// snapshotCodec is the codec of one stream that receives a snapshot. It decodes all parts of the
// snapshot into one buffer, so the Blob of a part is valid only until the next part is received. A
// buffer for each part would make as much garbage as the database has bytes. The protobuf library
// decodes the other fields of a part, and all other messages.
//
// Like a stream, a snapshotCodec may be used by one receiving and one sending goroutine at a time.
type snapshotCodec struct {
	encoding.CodecV2 // gRPC's codec for protobuf

	message []byte // the encoded part that was received last; its Blob points into message
	others  []byte // the encoded fields of that part without the field blob
}

const blobField = 3 // the number of the field blob of SnapshotResponse in rpc.proto

// Unmarshal decodes one message into v. If v is a SnapshotResponse, its Blob is valid until the
// next SnapshotResponse is decoded.
func (c *snapshotCodec) Unmarshal(data mem.BufferSlice, v any) error {
	part, ok := v.(*pb.SnapshotResponse)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	c.message = slices.Grow(c.message[:0], data.Len())[:data.Len()]
	data.CopyTo(c.message)

	var blob []byte
	c.others = c.others[:0]
	for rest := c.message; len(rest) > 0; {
		number, kind, n := protowire.ConsumeField(rest)
		if n < 0 {
			return fmt.Errorf("snapshot message of %d bytes: %w", data.Len(),
				protowire.ParseError(n))
		}
		if number == blobField && kind == protowire.BytesType {
			blob, _ = protowire.ConsumeBytes(rest[protowire.SizeTag(number):n])
		} else {
			c.others = append(c.others, rest[:n]...)
		}
		rest = rest[n:]
	}
	if err := proto.Unmarshal(c.others, part); err != nil {
		return err
	}
	part.Blob = blob
	return nil
}

// Name returns an empty name. With a name, gRPC would append it to the request's content type,
// which must stay application/grpc.
func (*snapshotCodec) Name() string { return "" }
