package wire

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// The tags of the fields of the messages that this file decodes. A tag is one byte that holds the
// field's number and wire type.
const (
	responseHeader = 1<<3 | byte(protowire.BytesType) // the header, in every answer

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

func decodeRange(c cursor, m *pb.RangeResponse) bool {
	var head header
	var list pairs
	ok := true
	for ok && c.more() {
		if c.cur[0] == rangeKvs {
			ok = list.decodeGroup(&c, rangeKvs)
			continue
		}
		switch c.tag() {
		case responseHeader:
			ok = head.find(&c)
		case rangeMore:
			m.More, ok = c.flag()
		case rangeCount:
			m.Count, ok = c.number()
		default:
			return false
		}
	}
	m.Kvs = slices.Clip(list.kvs)
	return ok && head.decode(&m.Header, list.header)
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
	var head header
	var list pairs
	ok := true
	for ok && c.more() {
		if c.cur[0] == deletePrevKvs {
			ok = list.decodeGroup(&c, deletePrevKvs)
			continue
		}
		switch c.tag() {
		case responseHeader:
			ok = head.find(&c)
		case deleteDeleted:
			m.Deleted, ok = c.number()
		default:
			return false
		}
	}
	m.PrevKvs = slices.Clip(list.kvs)
	return ok && head.decode(&m.Header, list.header)
}

// decodePut decodes the answer to a put into m. It decodes the header of the answer into room, or
// into a new ResponseHeader if room is nil.
func decodePut(c cursor, m *pb.PutResponse, room *pb.ResponseHeader) bool {
	var head header
	ok := true
	for ok && c.more() {
		switch c.tag() {
		case responseHeader:
			ok = head.find(&c)
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
	return ok && head.decode(&m.Header, room)
}

func decodeKeepAlive(c cursor, m *pb.LeaseKeepAliveResponse) bool {
	var head header
	ok := true
	for ok && c.more() {
		switch c.tag() {
		case responseHeader:
			ok = head.find(&c)
		case keepAliveID:
			m.ID, ok = c.number()
		case keepAliveTTL:
			m.TTL, ok = c.number()
		default:
			return false
		}
	}
	return ok && head.decode(&m.Header, nil)
}

// header records where in an answer the answer's header is. The header is decoded after all other
// fields. By then it is known whether the answer has only one pair or event. If so, one allocation
// holds both the decoded header and that pair or event.
type header struct {
	at    cursor
	found bool
}

// find records the position of the header. It moves c from behind the header's tag to the end of
// the header. It returns false if the header's length is wrong, or if the answer has a second
// header. The protobuf library merges two headers, but this package does not.
func (h *header) find(c *cursor) (ok bool) {
	if h.found {
		return false
	}
	h.found = true
	h.at, ok = c.message()
	return ok
}

// decode decodes the header, if the answer has one, and sets *field to it. It decodes into room, or
// into a new ResponseHeader if room is nil. It returns false if the header is malformed or has an
// unknown field.
func (h *header) decode(field **pb.ResponseHeader, room *pb.ResponseHeader) bool {
	if !h.found {
		return true
	}
	if room == nil {
		room = &pb.ResponseHeader{}
	}
	*field = room
	for h.at.more() {
		tag := h.at.tag()
		v, ok := h.at.varint()
		if !ok {
			return false
		}
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
			return false
		}
	}
	return true
}
