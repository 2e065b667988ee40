package wire

import (
	"bytes"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// cursor reads the bytes of one message, which may be spread over several buffers. A copy of a
// cursor reads on from the position of the original.
type cursor struct {
	cur    []byte          // the unread bytes of the current buffer
	rest   mem.BufferSlice // the buffers that follow
	beyond int             // how many bytes of rest belong to the message
}

// cursorOn returns a cursor at the start of data.
func cursorOn(data mem.BufferSlice) cursor {
	if len(data) == 1 {
		return cursor{cur: data[0].ReadOnlyData()}
	}
	return cursor{rest: data, beyond: data.Len()}
}

// left returns the number of bytes that are not read yet.
func (c *cursor) left() int { return len(c.cur) + c.beyond }

// more reports whether bytes are left. If so, it makes sure that cur begins with the next one.
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

// at reports whether the next field has the tag.
func (c *cursor) at(tag byte) bool { return c.more() && c.cur[0] == tag }

// tag reads a tag of one byte. The caller has called more, which has returned true.
func (c *cursor) tag() byte {
	tag := c.cur[0]
	c.cur = c.cur[1:]
	return tag
}

// varint reads a varint. It returns false for one that is truncated or too long.
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

// number reads a field that is an int64.
func (c *cursor) number() (int64, bool) {
	v, ok := c.varint()
	return int64(v), ok
}

// flag reads a field that is a bool.
func (c *cursor) flag() (value, ok bool) {
	v, ok := c.varint()
	return v != 0, ok
}

// length reads the length of a field. It returns false if fewer bytes are left.
func (c *cursor) length() (int, bool) {
	n, ok := c.varint()
	if !ok || n > uint64(c.left()) {
		return 0, false
	}
	return int(n), true
}

// skip moves c on by n bytes. At least n bytes are left.
func (c *cursor) skip(n int) {
	for n > len(c.cur) {
		n -= len(c.cur)
		c.cur = nil
		c.more()
	}
	c.cur = c.cur[n:]
}

// message reads a message field. It returns a cursor that ends with the field.
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

// copied returns a copy of the next n bytes, which the caller owns. It does not move c. It does not
// allocate with make, which would clear the memory first.
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

// limits are the limits of a group, which is a number of message fields with one tag that follow
// one another. A group of a single field may have more bytes.
type limits struct{ fields, bytes int }

// group reads the group at c. It returns a copy of the group's bytes, and the number of its fields.
// The group is about as large as the limits allow. The caller has made sure that c is at a field
// with the tag. group returns false if that field goes on beyond the message.
//
// group copies bytes first, and then searches the copy for the ends of fields. If it searched the
// transport's buffers, which another CPU has written, each access to a field would wait for memory.
// It estimates how much to copy from the size of the first field.
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

// minEstimated is how many fields as large as the first must fit into a group for the group's size
// to be estimated. At most one part in minEstimated of the copy stays unused.
const minEstimated = 8

// skipField skips one field, and returns false if that is not possible. It misreads a tag of
// several bytes as a tag of one byte and a number. That does no harm, because the fast path refuses
// a message with such a tag later.
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

// count returns the number of fields with the tag, which is that of a message field. It returns
// false unless all fields are varints or have a length.
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

// measure returns the number of fields and bytes of the largest group that begins at c.
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

// shortFields returns the number of fields with the tag at the start of data, and their size. It
// stops at a field for which shortField returns 0.
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

// shortField returns the size of the message field at the start of data. It returns 0 if the field
// has 16 KiB or more, or if data does not hold all of it.
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
