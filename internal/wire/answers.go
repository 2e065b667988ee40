package wire

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// The tags of the answers: field number and wire type.
const (
	responseHeader = 1<<3 | byte(protowire.BytesType) // of all of them

	headerClusterID = 1<<3 | byte(protowire.VarintType)
	headerMemberID  = 2<<3 | byte(protowire.VarintType)
	headerRevision  = 3<<3 | byte(protowire.VarintType)
	headerRaftTerm  = 4<<3 | byte(protowire.VarintType)

	rangeKvs   = 2<<3 | byte(protowire.BytesType)
	rangeMore  = 3<<3 | byte(protowire.VarintType)
	rangeCount = 4<<3 | byte(protowire.VarintType)

	streamRange = 1<<3 | byte(protowire.BytesType)

	putPrevKv = 2<<3 | byte(protowire.BytesType)

	deleteDeleted = 2<<3 | byte(protowire.VarintType)
	deletePrevKvs = 3<<3 | byte(protowire.BytesType)

	keepAliveID  = 2<<3 | byte(protowire.VarintType)
	keepAliveTTL = 3<<3 | byte(protowire.VarintType)
)

// fewGroups is how many groups a message can have without an allocation for their list.
const fewGroups = 8

func decodeRange(c cursor, m *pb.RangeResponse) bool {
	var room [fewGroups]group
	groups, n, ok := c.groups(rangeKvs, pairLimits, room[:0])
	list := newPairs(n)
	for ok && c.more() {
		if c.cur[0] == rangeKvs {
			ok = list.decodeGroup(&c, groups[0])
			groups = groups[1:]
			continue
		}
		switch c.tag() {
		case responseHeader:
			m.Header, ok = decodeOnly(&c, m.Header, list.header)
		case rangeMore:
			m.More, ok = c.flag()
		case rangeCount:
			m.Count, ok = c.number()
		default:
			return false
		}
	}
	m.Kvs = list.kvs
	return ok
}

func decodeRangeStream(c cursor, m *pb.RangeStreamResponse) bool {
	for c.more() {
		if c.tag() != streamRange || m.RangeResponse != nil {
			return false
		}
		sub, ok := c.message()
		m.RangeResponse = &pb.RangeResponse{}
		if !ok || !decodeRange(sub, m.RangeResponse) {
			return false
		}
	}
	return true
}

func decodeDelete(c cursor, m *pb.DeleteRangeResponse) bool {
	var room [fewGroups]group
	groups, n, ok := c.groups(deletePrevKvs, pairLimits, room[:0])
	list := newPairs(n)
	for ok && c.more() {
		if c.cur[0] == deletePrevKvs {
			ok = list.decodeGroup(&c, groups[0])
			groups = groups[1:]
			continue
		}
		switch c.tag() {
		case responseHeader:
			m.Header, ok = decodeOnly(&c, m.Header, list.header)
		case deleteDeleted:
			m.Deleted, ok = c.number()
		default:
			return false
		}
	}
	m.PrevKvs = list.kvs
	return ok
}

// decodePut decodes an answer whose header, if there is one, becomes the given one.
func decodePut(c cursor, m *pb.PutResponse, header *pb.ResponseHeader) bool {
	ok := true
	for ok && c.more() {
		switch c.tag() {
		case responseHeader:
			m.Header, ok = decodeOnly(&c, m.Header, header)
		case putPrevKv:
			var n int
			if n, ok = c.length(); !ok || m.PrevKv != nil {
				return false
			}
			m.PrevKv = &mvccpb.KeyValue{}
			ok = decodePair(c.copied(n), m.PrevKv)
			c.skip(n)
		default:
			return false
		}
	}
	return ok
}

func decodeKeepAlive(c cursor, m *pb.LeaseKeepAliveResponse) bool {
	ok := true
	for ok && c.more() {
		switch c.tag() {
		case responseHeader:
			m.Header, ok = decodeOnly(&c, m.Header, nil)
		case keepAliveID:
			m.ID, ok = c.number()
		case keepAliveTTL:
			m.TTL, ok = c.number()
		default:
			return false
		}
	}
	return ok
}

// decodeOnly decodes the header that c stands at. It returns false if that is not the first header
// of the answer: the library merges two. The result is room, or a new header if room is nil.
func decodeOnly(c *cursor, first, room *pb.ResponseHeader) (*pb.ResponseHeader, bool) {
	if first != nil {
		return nil, false
	}
	if room == nil {
		room = &pb.ResponseHeader{}
	}
	sub, ok := c.message()
	for ok && sub.more() {
		tag := sub.tag()
		var v uint64
		v, ok = sub.varint()
		switch tag {
		case headerClusterID:
			room.ClusterId = v
		case headerMemberID:
			room.MemberId = v
		case headerRevision:
			room.Revision = int64(v)
		case headerRaftTerm:
			room.RaftTerm = v
		default:
			return nil, false
		}
	}
	return room, ok
}
