package wire

import (
	"slices"
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// The tags of the fields of WatchResponse and Event. A tag is one byte that holds the field's
// number and wire type.
const (
	watchID              = 2<<3 | byte(protowire.VarintType)
	watchCreated         = 3<<3 | byte(protowire.VarintType)
	watchCanceled        = 4<<3 | byte(protowire.VarintType)
	watchCompactRevision = 5<<3 | byte(protowire.VarintType)
	watchCancelReason    = 6<<3 | byte(protowire.BytesType)
	watchFragment        = 7<<3 | byte(protowire.VarintType)
	watchEvents          = 11<<3 | byte(protowire.BytesType)

	eventType   = 1<<3 | byte(protowire.VarintType)
	eventKv     = 2<<3 | byte(protowire.BytesType)
	eventPrevKv = 3<<3 | byte(protowire.BytesType)
)

// eventLimits are the limits of a group, which is a run of events that are decoded together. In a
// full group, the eventSlot structs take 16 KiB, the structs for the PrevKv fields 11 KiB, and the
// encoded events 32 KiB.
var eventLimits = limits{fields: 88, bytes: 32 << 10}

// eventSlot is an event and its key-value pair.
type eventSlot struct {
	event mvccpb.Event
	kv    mvccpb.KeyValue
}

// oneEvent holds the parts of a response with one event, so that one allocation holds them all.
type oneEvent struct {
	header pb.ResponseHeader
	events [1]*mvccpb.Event
	slab   [1]eventSlot
}

// events is the list of events of one response while the response is decoded.
type events struct {
	header *pb.ResponseHeader // room for the response's header if there is only one event; else nil
	list   []*mvccpb.Event
	prevs  []mvccpb.KeyValue // allocated but unused structs for the PrevKv of further events
}

func decodeWatch(c cursor, m *pb.WatchResponse) bool {
	var head header
	var list events
	ok := true
	for ok && c.more() {
		if c.cur[0] == watchEvents {
			ok = list.decodeGroup(&c)
			continue
		}
		switch c.tag() {
		case responseHeader:
			ok = head.find(&c)
		case watchID:
			m.WatchId, ok = c.number()
		case watchCreated:
			m.Created, ok = c.flag()
		case watchCanceled:
			m.Canceled, ok = c.flag()
		case watchCompactRevision:
			m.CompactRevision, ok = c.number()
		case watchCancelReason:
			m.CancelReason, ok = c.text()
		case watchFragment:
			m.Fragment, ok = c.flag()
		default:
			return false
		}
	}
	m.Events = slices.Clip(list.list)
	return ok && head.decode(&m.Header, list.header)
}

// text reads the value of a string field. It returns false if the string is not valid UTF-8, or
// goes on beyond the end of the message.
func (c *cursor) text() (string, bool) {
	n, ok := c.length()
	if !ok || n == 0 {
		return "", ok
	}
	text := c.copied(n)
	c.skip(n)
	return string(text), utf8.Valid(text)
}

// decodeGroup decodes one group, a run of fields that each hold an event, and appends the events to
// l.list. The group begins at c.
func (l *events) decodeGroup(c *cursor) bool {
	data, n, ok := c.group(watchEvents, eventLimits)
	if !ok {
		return false
	}
	var slab []eventSlot
	if n == 1 && l.list == nil && !c.at(watchEvents) {
		one := &oneEvent{}
		l.header, l.list, slab = &one.header, one.events[:0], one.slab[:]
	} else {
		slab, l.list = make([]eventSlot, n), roomFor(l.list, n, len(data), c.left())
	}
	l.prevs = nil
	for i := range slab {
		field, rest, ok := nextField(data)
		if !ok || !l.decodeEvent(field, slab[i:]) {
			return false
		}
		data = rest
		l.list = append(l.list, &slab[i].event)
	}
	return true
}

// decodeEvent decodes data, one encoded event, into left[0]. The parameter left has the structs
// that hold no event yet. decodeEvent returns false if the event is malformed, has an unknown
// field, or has the field kv or prev_kv twice.
func (l *events) decodeEvent(data []byte, left []eventSlot) bool {
	e := &left[0].event
	for len(data) > 0 {
		tag := data[0]
		v, n := varint(data[1:])
		if n < 0 {
			return false
		}
		data = data[1+n:]
		if tag == eventType {
			e.Type = mvccpb.Event_EventType(v)
			continue
		}
		if v > uint64(len(data)) {
			return false
		}
		var kv *mvccpb.KeyValue
		switch {
		case tag == eventKv && e.Kv == nil:
			kv = &left[0].kv
			e.Kv = kv
		case tag == eventPrevKv && e.PrevKv == nil:
			kv = l.newPrev(len(left))
			e.PrevKv = kv
		default:
			return false
		}
		if !decodePair(data[:v], kv) {
			return false
		}
		data = data[v:]
	}
	return true
}

// newPrev returns an unused struct for the PrevKv of an event. If l.prevs is empty, it first
// allocates left structs: one for this event, and one for each later event of its group (see
// decodeGroup).
func (l *events) newPrev(left int) *mvccpb.KeyValue {
	if len(l.prevs) == 0 {
		l.prevs = make([]mvccpb.KeyValue, left)
	}
	kv := &l.prevs[0]
	l.prevs = l.prevs[1:]
	return kv
}
