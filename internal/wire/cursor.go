package wire

import (
	"bytes"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// cursor reads the bytes of one message, which may be spread over several buffers. A copy of a
// cursor reads on from the same place.
type cursor struct {
	cur    []byte          // what is left of the current buffer
	rest   mem.BufferSlice // the buffers that follow
	beyond int             // bytes of the message in rest
}

// cursorOn returns a cursor at the start of data.
func cursorOn(data mem.BufferSlice) cursor {
	if len(data) == 1 {
		return cursor{cur: data[0].ReadOnlyData()}
	}
	return cursor{rest: data, beyond: data.Len()}
}

// left returns the number of bytes that are left.
func (c *cursor) left() int { return len(c.cur) + c.beyond }

// more reports whether bytes are left, and makes cur hold the next of them.
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

// tag reads a tag of one byte. The caller has made sure by more that there is a byte.
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

// length reads the length of a field. It returns false if not so many bytes are left.
func (c *cursor) length() (int, bool) {
	n, ok := c.varint()
	if !ok || n > uint64(c.left()) {
		return 0, false
	}
	return int(n), true
}

// skip leaves out n of the bytes that are left.
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

// copied returns a copy of the next n bytes, which the caller owns. It does not move c. The memory
// is not cleared first, which make would do.
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

// group is a number of message fields with one tag that follow one another.
type group struct{ fields, bytes int }

// limits are those of a group. A single field may have more bytes.
type limits struct{ fields, bytes int }

// groups appends to found the groups of the fields that have the tag, which is that of a message
// field. The groups are as large as the limits allow. It also returns the number of these fields.
// It returns false unless all fields of the message are varints or have a length.
func (c cursor) groups(tag byte, lim limits, found []group) (_ []group, fields int, ok bool) {
	for c.more() {
		g, ok := c.skipGroup(tag, lim)
		switch {
		case !ok:
			return nil, 0, false
		case g.fields > 0:
			found, fields = append(found, g), fields+g.fields
		case !c.skipField():
			return nil, 0, false
		}
	}
	return found, fields, true
}

// skipField skips one field. It takes a tag of several bytes for one byte and a number, which does
// no harm: no message that is decoded here has such a tag.
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

// skipMessage skips one message field. It returns its size, which is negative if the field does not
// end in the message.
func (c *cursor) skipMessage() int {
	start := c.left()
	c.tag()
	n, ok := c.length()
	if !ok {
		return -1
	}
	c.skip(n)
	return start - c.left()
}

// skipGroup skips the largest group that begins at c, which may be empty.
func (c *cursor) skipGroup(tag byte, lim limits) (g group, ok bool) {
	for g.fields < lim.fields && c.more() && c.cur[0] == tag {
		if c.skipShort(tag, lim, &g) {
			continue
		}
		after := *c
		size := after.skipMessage()
		if size < 0 {
			return g, false
		}
		if g.fields > 0 && size > lim.bytes-g.bytes {
			break
		}
		*c, g.fields, g.bytes = after, g.fields+1, g.bytes+size
	}
	return g, true
}

// skipShort adds to g the fields that are short and whole in the current buffer, and skips them. It
// reports whether there are any.
func (c *cursor) skipShort(tag byte, lim limits, g *group) bool {
	data, fields, size := c.cur, g.fields, g.bytes
	for fields < lim.fields && len(data) > 0 && data[0] == tag {
		n := shortField(data)
		if n == 0 || n > lim.bytes-size {
			break
		}
		data, fields, size = data[n:], fields+1, size+n
	}
	some := fields > g.fields
	c.cur, g.fields, g.bytes = data, fields, size
	return some
}

// shortField returns the size of the message field at the start of data if it is less than 16 KiB
// and data holds all of it, and otherwise 0.
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
