package wire

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// The tags of the answers: field number and wire type.
const (
	responseHeader = 1<<3 | byte(protowire.BytesType) // of all of them

	rangeKvs   = 2<<3 | byte(protowire.BytesType)
	rangeMore  = 3<<3 | byte(protowire.VarintType)
	rangeCount = 4<<3 | byte(protowire.VarintType)

	headerClusterID = 1<<3 | byte(protowire.VarintType)
	headerMemberID  = 2<<3 | byte(protowire.VarintType)
	headerRevision  = 3<<3 | byte(protowire.VarintType)
	headerRaftTerm  = 4<<3 | byte(protowire.VarintType)
)

func decodeRange(c cursor, m *pb.RangeResponse) bool {
	list, ok := newPairs(c, rangeKvs)
	for start := c; ok && c.more(); start = c {
		switch tag := c.tag(); tag {
		case responseHeader:
			if m.Header != nil {
				return false
			}
			m.Header, ok = list.decodeHeader(&c)
		case rangeKvs:
			ok = list.decodeGroup(start, &c)
		case rangeMore:
			var v uint64
			v, ok = c.varint()
			m.More = v != 0
		case rangeCount:
			var v uint64
			v, ok = c.varint()
			m.Count = int64(v)
		default:
			return false
		}
	}
	m.Kvs = list.kvs
	return ok
}

// decodeHeader decodes the field that c stands at into h.
func decodeHeader(c *cursor, h *pb.ResponseHeader) bool {
	sub, ok := c.message()
	for ok && sub.more() {
		tag := sub.tag()
		var v uint64
		v, ok = sub.varint()
		switch tag {
		case headerClusterID:
			h.ClusterId = v
		case headerMemberID:
			h.MemberId = v
		case headerRevision:
			h.Revision = int64(v)
		case headerRaftTerm:
			h.RaftTerm = v
		default:
			return false
		}
	}
	return ok
}
