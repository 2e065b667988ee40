package wire

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// pairLimits are the limits of a group, which is a run of key-value pairs that are decoded
// together. In a full group, the KeyValue structs take 16 KiB, and the encoded pairs 48 KiB. The Go
// runtime has allocations of exactly these sizes, so almost no memory stays unused.
var pairLimits = limits{fields: 136, bytes: 48 << 10}

// onePair holds the parts of an answer with one key-value pair, so that one allocation holds them
// all.
type onePair struct {
	header pb.ResponseHeader
	kvs    [1]*mvccpb.KeyValue
	slab   [1]mvccpb.KeyValue
}

// pairs is the list of key-value pairs of one answer while the answer is decoded.
type pairs struct {
	header *pb.ResponseHeader // room for the answer's header if there is only one pair; else nil
	kvs    []*mvccpb.KeyValue
}

// decodeGroup decodes one group, a run of fields that each hold a pair and have the given tag, and
// appends the pairs to p.kvs. The group begins at c.
func (p *pairs) decodeGroup(c *cursor, tag byte) bool {
	data, n, ok := c.group(tag, pairLimits)
	if !ok {
		return false
	}
	var slab []mvccpb.KeyValue
	if n == 1 && p.kvs == nil && !c.at(tag) {
		one := &onePair{}
		p.header, p.kvs, slab = &one.header, one.kvs[:0], one.slab[:]
	} else {
		slab, p.kvs = make([]mvccpb.KeyValue, n), roomFor(p.kvs, n, len(data), c.left())
	}
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

// roomFor returns list with room for n more elements. n is the number of fields of a group, a run
// of fields that are decoded together. size is the number of bytes of the group, and left is the
// number of bytes of the message after it.
//
// When roomFor allocates, it makes room for later groups, too. It assumes that the bytes after the
// group are fields of the same average size. The constant growth limits the room, because otherwise
// a short message could cause a large allocation.
func roomFor[E any](list []*E, n, size, left int) []*E {
	need := len(list) + n
	if need <= cap(list) {
		return list
	}
	const growth = 16
	expected := need + left/(size/n)
	return append(make([]*E, 0, min(expected, need*growth)), list...)
}

// nextField splits data after the message field at its start. It returns the contents of the field
// and the bytes after it. The contents have no spare capacity, so an append copies them. nextField
// returns false if the field is not whole.
func nextField(data []byte) (field, rest []byte, ok bool) {
	data = data[1:]
	length, n := varint(data)
	if n < 0 || length > uint64(len(data)-n) {
		return nil, nil, false
	}
	end := n + int(length)
	return data[n:end:end], data[end:], true
}

// The tags of the fields of mvccpb.KeyValue. A tag is one byte that holds the field's number and
// wire type.
const (
	kvKey            = 1<<3 | byte(protowire.BytesType)
	kvCreateRevision = 2<<3 | byte(protowire.VarintType)
	kvModRevision    = 3<<3 | byte(protowire.VarintType)
	kvVersion        = 4<<3 | byte(protowire.VarintType)
	kvValue          = 5<<3 | byte(protowire.BytesType)
	kvLease          = 6<<3 | byte(protowire.VarintType)
)

// decodePair decodes data, one encoded key-value pair, into kv. The key and the value of kv become
// slices of data. decodePair returns false if data is malformed or has an unknown field.
func decodePair(data []byte, kv *mvccpb.KeyValue) bool {
	for i := 0; i < len(data); {
		tag, v, n := data[i], uint64(0), 1
		i++
		if i < len(data) && data[i] < 0x80 { // like the function varint, but without a call
			v = uint64(data[i])
		} else if v, n = protowire.ConsumeVarint(data[i:]); n < 0 {
			return false
		}
		i += n
		switch tag {
		case kvKey, kvValue:
			if v > uint64(len(data)-i) {
				return false
			}
			var field []byte // stays nil if the key or value is empty, as with the protobuf library
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

// varint is like protowire.ConsumeVarint, but faster for varints of one byte. It returns the value
// and the number of bytes that encode it. The number of bytes is negative if data does not begin
// with a valid varint.
func varint(data []byte) (uint64, int) {
	if len(data) > 0 && data[0] < 0x80 {
		return uint64(data[0]), 1
	}
	return protowire.ConsumeVarint(data)
}
