// Package wire decodes messages for which the generated code does needless work.
package wire

import (
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// SnapshotCodec is the codec of one stream that receives a snapshot. It decodes all parts into one
// buffer: a large database otherwise becomes as much garbage, a part at a time. The Blob of a part
// is therefore good until the next part is received. Everything else about a part, and every other
// message, is decoded as usual.
//
// The zero value is ready to use. As a stream does, it serves one receiving and one sending
// goroutine.
type SnapshotCodec struct {
	message []byte // the part received last
	others  []byte // its fields but for the blob
}

const blobField = 3 // of SnapshotResponse, in rpc.proto

// Unmarshal decodes one message.
func (c *SnapshotCodec) Unmarshal(data mem.BufferSlice, v any) error {
	part, ok := v.(*pb.SnapshotResponse)
	if !ok {
		return usual().Unmarshal(data, v)
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

// Marshal encodes a message as usual.
func (*SnapshotCodec) Marshal(v any) (mem.BufferSlice, error) { return usual().Marshal(v) }

// Name is empty so that the request's content type stays the usual one.
func (*SnapshotCodec) Name() string { return "" }

func usual() encoding.CodecV2 { return encoding.GetCodecV2(grpcproto.Name) }
