package wire

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// pairLimits are the limits of a group of key-value pairs. A full slab of structs takes 16 KiB, and
// a full slab of bytes 48 KiB. The runtime allocates exactly these sizes.
var pairLimits = limits{fields: 136, bytes: 48 << 10}

// onePair holds the parts of an answer with one key-value pair, so that they are one allocation.
type onePair struct {
	header pb.ResponseHeader
	kvs    [1]*mvccpb.KeyValue
	slab   [1]mvccpb.KeyValue
}

// pairs is the list of key-value pairs of one answer while it is decoded.
type pairs struct {
	header *pb.ResponseHeader // room for the header of an answer with one pair
	kvs    []*mvccpb.KeyValue
}

// decodeGroup decodes the group of pairs at c, and appends the pairs to the list. tag is the tag of
// the list's field.
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

// roomFor returns list with room for the n fields of a group, which have size bytes. If it has to
// allocate a new list, it also makes room for the rest of the message, which has left bytes. It
// assumes that the rest consists of such fields. It may consist of something else, so the capacity
// is at most growth times what the group needs.
func roomFor[E any](list []*E, n, size, left int) []*E {
	need := len(list) + n
	if need <= cap(list) {
		return list
	}
	const growth = 16
	expected := need + left/(size/n)
	return append(make([]*E, 0, min(expected, need*growth)), list...)
}

// nextField splits data, which begins with a message field, after that field. It returns the
// contents of the field, whose capacity ends with them, and the rest of data.
func nextField(data []byte) (field, rest []byte, ok bool) {
	data = data[1:]
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

// decodePair decodes data, the contents of a pair's field, into kv. The key and the value of kv
// become slices of data.
func decodePair(data []byte, kv *mvccpb.KeyValue) bool {
	for i := 0; i < len(data); {
		tag, v, n := data[i], uint64(0), 1
		i++
		if i < len(data) && data[i] < 0x80 { // as varint does, without a call
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

// varint is like protowire.ConsumeVarint, but faster for varints of one byte. It returns the value
// and the number of its bytes, which is negative if data begins with no varint.
func varint(data []byte) (uint64, int) {
	if len(data) > 0 && data[0] < 0x80 {
		return uint64(data[0]), 1
	}
	return protowire.ConsumeVarint(data)
}
