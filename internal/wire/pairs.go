package wire

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// The limits of a group of key-value pairs. A slab of that many structs takes 16 KiB and a slab of
// that many bytes 48 KiB; the runtime rounds neither of them up.
const (
	maxGroupPairs = 136
	maxGroupBytes = 48 << 10
)

// onePair holds the parts of an answer with one key-value pair, so that they are one allocation.
type onePair struct {
	header pb.ResponseHeader
	kvs    [1]*mvccpb.KeyValue
	slab   [1]mvccpb.KeyValue
}

// pairs is the list of key-value pairs of one answer while it is decoded.
type pairs struct {
	tag    byte // of the field that holds them
	header *pb.ResponseHeader
	kvs    []*mvccpb.KeyValue
	slab   []mvccpb.KeyValue // for the only pair; nil if there are more
}

// newPairs counts the pairs in c and allocates their list. It returns false if the fast path cannot
// decode the message.
func newPairs(c cursor, tag byte) (pairs, bool) {
	n, ok := c.count(tag)
	switch {
	case !ok:
		return pairs{}, false
	case n == 0:
		return pairs{tag: tag}, true
	case n == 1:
		one := &onePair{}
		return pairs{tag: tag, header: &one.header, kvs: one.kvs[:0], slab: one.slab[:]}, true
	}
	return pairs{tag: tag, kvs: make([]*mvccpb.KeyValue, 0, n)}, true
}

// decodeGroup decodes the group of pairs that begins at start, and moves c behind it.
func (p *pairs) decodeGroup(start cursor, c *cursor) bool {
	g, ok := start.group(p.tag, maxGroupPairs, maxGroupBytes)
	if !ok {
		return false
	}
	slab := p.slab
	if slab == nil {
		slab = make([]mvccpb.KeyValue, g.fields)
	}
	data := start.copied(g.bytes)
	*c = g.end
	for i := range slab {
		field, rest, ok := nextField(data)
		if !ok || !decodePair(field, &slab[i]) {
			return false
		}
		data = rest
		p.kvs = append(p.kvs, &slab[i])
	}
	return true
}

// nextField splits data, which begins with a message field, behind that field.
func nextField(data []byte) (field, rest []byte, ok bool) {
	return bytesField(data[1:])
}

// bytesField reads a length and so many bytes. Their capacity is cut.
func bytesField(data []byte) (field, rest []byte, ok bool) {
	length, n := varint(data)
	if n < 0 || length > uint64(len(data)-n) {
		return nil, nil, false
	}
	end := n + int(length)
	return data[n:end:end], data[end:], true
}

// The tags of mvccpb.KeyValue: field number and wire type.
const (
	kvKey            = 1<<3 | byte(protowire.BytesType)
	kvCreateRevision = 2<<3 | byte(protowire.VarintType)
	kvModRevision    = 3<<3 | byte(protowire.VarintType)
	kvVersion        = 4<<3 | byte(protowire.VarintType)
	kvValue          = 5<<3 | byte(protowire.BytesType)
	kvLease          = 6<<3 | byte(protowire.VarintType)
)

// decodePair decodes data into kv, whose key and value become slices of data.
func decodePair(data []byte, kv *mvccpb.KeyValue) bool {
	for i := 0; i < len(data); {
		tag := data[i]
		v, n := varint(data[i+1:])
		if n < 0 {
			return false
		}
		i += 1 + n
		switch tag {
		case kvKey, kvValue:
			if v > uint64(len(data)-i) {
				return false
			}
			var field []byte // nil if it is empty
			if v > 0 {
				end := i + int(v)
				field, i = data[i:end:end], end
			}
			if tag == kvKey {
				kv.Key = field
			} else {
				kv.Value = field
			}
		case kvCreateRevision:
			kv.CreateRevision = int64(v)
		case kvModRevision:
			kv.ModRevision = int64(v)
		case kvVersion:
			kv.Version = int64(v)
		case kvLease:
			kv.Lease = int64(v)
		default:
			return false
		}
	}
	return true
}

// varint is protowire.ConsumeVarint, faster for short ones. It returns the value and the number of
// bytes, which is negative if there is no varint.
func varint(data []byte) (uint64, int) {
	if len(data) > 0 && data[0] < 0x80 {
		return uint64(data[0]), 1
	}
	return protowire.ConsumeVarint(data)
}
