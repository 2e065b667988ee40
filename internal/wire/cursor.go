package wire

import (
	"bytes"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// cursor reads the bytes of one message, which may be spread over several buffers. A copy of a
// cursor starts at the position of the original. After that, each of the two moves on its own.
type cursor struct {
	cur    []byte          // the unread bytes of the current buffer
	rest   mem.BufferSlice // the buffers that follow
	beyond int             // how many bytes of the buffers in rest belong to the message
}

// cursorOn returns a cursor at the start of data.
func cursorOn(data mem.BufferSlice) cursor {
	if len(data) == 1 {
		return cursor{cur: data[0].ReadOnlyData()}
	}
	return cursor{rest: data, beyond: data.Len()}
}

// left returns the number of bytes of the message that are not read yet.
func (c *cursor) left() int { return len(c.cur) + c.beyond }

// more reports whether the message has unread bytes. If so, it makes sure that cur is not empty: it
// moves on to the next buffer if necessary.
func (c *cursor) more() bool {
	for len(c.cur) == 0 && c.beyond > 0 {
		c.cur, c.rest = c.rest[0].ReadOnlyData(), c.rest[1:]
		if len(c.cur) > c.beyond {
			c.cur = c.cur[:c.beyond]
		}
		c.beyond -= len(c.cur)
	}
	return len(c.cur) > 0
}

// at reports whether the next field of the message has the given tag. It returns false at the end
// of the message.
func (c *cursor) at(tag byte) bool { return c.more() && c.cur[0] == tag }

// tag reads one byte, the tag of a field. It panics if cur is empty, so call it only after c.more()
// has returned true.
func (c *cursor) tag() byte {
	tag := c.cur[0]
	c.cur = c.cur[1:]
	return tag
}

// varint reads a varint. It returns false if the varint is truncated or too long.
func (c *cursor) varint() (uint64, bool) {
	v, n := protowire.ConsumeVarint(c.cur)
	if n >= 0 {
		c.cur = c.cur[n:]
		return v, true
	}
	if c.beyond == 0 {
		return 0, false
	}
	return c.splitVarint()
}

// splitVarint reads a varint whose bytes are in several buffers.
func (c *cursor) splitVarint() (uint64, bool) {
	const maxLength = 10
	var whole [maxLength]byte
	for i := range whole {
		if !c.more() {
			return 0, false
		}
		whole[i] = c.tag()
		if whole[i] < 0x80 {
			v, n := protowire.ConsumeVarint(whole[:i+1])
			return v, n > 0
		}
	}
	return 0, false
}

// number reads the value of an int64 field.
func (c *cursor) number() (int64, bool) {
	v, ok := c.varint()
	return int64(v), ok
}

// flag reads the value of a bool field.
func (c *cursor) flag() (value, ok bool) {
	v, ok := c.varint()
	return v != 0, ok
}

// length reads the length of a field. It returns false if the message has fewer unread bytes than
// the field needs.
func (c *cursor) length() (int, bool) {
	n, ok := c.varint()
	if !ok || n > uint64(c.left()) {
		return 0, false
	}
	return int(n), true
}

// skip moves c forward by n bytes. The caller makes sure that the message has at least n unread
// bytes.
func (c *cursor) skip(n int) {
	for n > len(c.cur) {
		n -= len(c.cur)
		c.cur = nil
		c.more()
	}
	c.cur = c.cur[n:]
}

// message returns a cursor over the contents of a message field, and moves c to the end of the
// field. c must be behind the field's tag. message returns false if the field goes on beyond the
// end of the message.
func (c *cursor) message() (cursor, bool) {
	n, ok := c.length()
	if !ok {
		return cursor{}, false
	}
	sub := *c
	c.skip(n)
	if n <= len(sub.cur) {
		return cursor{cur: sub.cur[:n]}, true
	}
	sub.beyond = n - len(sub.cur)
	return sub, true
}

// copied returns a copy of the next n bytes. The caller's cursor stays where it is. bytes.Clone and
// bytes.Join are faster than make and copy, because make clears the memory first.
func (c cursor) copied(n int) []byte {
	if n <= len(c.cur) {
		return bytes.Clone(c.cur[:n:n])
	}
	var room [8][]byte
	parts := room[:0]
	for n > 0 && c.more() {
		part := c.cur[:min(n, len(c.cur))]
		parts = append(parts, part)
		n -= len(part)
		c.cur = nil
	}
	return bytes.Join(parts, nil)
}

// limits are the largest number of fields, and of bytes, that a group may have. A group is a run of
// message fields that follow one another and have the same tag. A field that alone has more bytes
// than the limit is a group by itself.
type limits struct{ fields, bytes int }

// group copies a group, which is a run of message fields with the given tag. It returns the copied
// bytes and the number of fields. It reads as many fields as lim allows, or somewhat fewer. The
// caller makes sure that c is at a field with the tag. group returns false if that field goes on
// beyond the end of the message.
//
// If the first field is small, group copies first and searches the copy for the ends of fields. It
// estimates how many bytes to copy from the size of the first field. Searching the buffers of
// gRPC's transport would be slower: another CPU has written them, so each access to a field would
// wait for memory.
func (c *cursor) group(tag byte, lim limits) (data []byte, fields int, ok bool) {
	first := shortField(c.cur)
	if first == 0 || first > lim.bytes/minEstimated {
		fields, size, ok := c.measure(tag, lim)
		if !ok {
			return nil, 0, false
		}
		data = c.copied(size)
		c.skip(size)
		return data, fields, true
	}
	data = c.copied(min(lim.bytes, lim.fields*first, c.left()))
	fields, size := shortFields(data, tag, lim.fields)
	if len(data)-size > len(data)/minEstimated {
		data = bytes.Clone(data[:size])
	}
	c.skip(size)
	return data[:size:size], fields, true
}

// minEstimated has two uses in the method group:
//
//   - The method estimates the size of a group only if lim.bytes has room for at least minEstimated
//     fields that are as large as the first. Otherwise it measures each field.
//   - The copy may end with bytes that are not in the group. If these are more than 1/minEstimated
//     of the copy, the method copies the group again, into a buffer of the right size.
const minEstimated = 8

// skipField skips one field. It returns false if the field is malformed, or is neither a varint nor
// length-delimited. If the tag has several bytes, skipField treats its first byte as the whole tag.
// That does no harm, because the decoders give up later when they come to such a tag.
func (c *cursor) skipField() bool {
	tag := c.tag()
	v, ok := c.varint()
	switch {
	case !ok:
		return false
	case tag&7 == byte(protowire.VarintType):
		return true
	case tag&7 == byte(protowire.BytesType) && v <= uint64(c.left()):
		c.skip(int(v))
		return true
	}
	return false
}

// count returns how many of the fields from c to the end of the message have the tag. It does not
// move the caller's cursor. It returns false if a field is malformed, or is neither a varint nor
// length-delimited.
func (c cursor) count(tag byte) (fields int, ok bool) {
	for c.more() {
		if c.cur[0] == tag {
			fields++
		}
		if !c.skipField() {
			return 0, false
		}
	}
	return fields, true
}

// measure finds the run of fields with the given tag that begins at c, up to the limits in lim. It
// returns the number of fields in the run and their size in bytes. It returns false if one of the
// fields goes on beyond the end of the message.
func (c cursor) measure(tag byte, lim limits) (fields, size int, ok bool) {
	for fields < lim.fields && c.at(tag) {
		start := c.left()
		c.tag()
		n, ok := c.length()
		if !ok {
			return 0, 0, false
		}
		c.skip(n)
		total := size + start - c.left()
		if fields > 0 && total > lim.bytes {
			break
		}
		fields, size = fields+1, total
	}
	return fields, size, true
}

// shortFields counts the fields with the given tag at the start of data, up to the number most. It
// returns their number and their total size. It stops at a field that has another tag, is not
// whole, or is too long for shortField.
func shortFields(data []byte, tag byte, most int) (fields, size int) {
	for fields < most && size < len(data) && data[size] == tag {
		n := shortField(data[size:])
		if n == 0 {
			break
		}
		fields, size = fields+1, size+n
	}
	return fields, size
}

// shortField returns the size of the message field at the start of data. The size includes the tag
// and the length. shortField returns 0 if the contents have 16 KiB or more, or if data does not
// hold the whole field or has fewer than three bytes.
func shortField(data []byte) int {
	if len(data) < 3 || data[1] >= 0x80 && data[2] >= 0x80 {
		return 0
	}
	size := 2 + int(data[1])
	if data[1] >= 0x80 {
		size = 3 + int(data[1]&0x7f) + int(data[2])<<7
	}
	if size > len(data) {
		return 0
	}
	return size
}
