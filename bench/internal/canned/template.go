package canned

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// revision is the revision in every answer. The first event of a stream has the next revision. All
// revisions from this one to 1<<35-1 are encoded in 5 bytes, so a template can overwrite one
// revision with another.
const revision = int64(1)<<34 + 0x2a5a5a5

// template is a marshalled response whose revisions and times are overwritten for each copy.
type template struct {
	message   []byte
	revisions []int // offsets in message: first the header's revision, then those of the events
	stamps    []int // offsets in message: each event's value, whose first 8 bytes are a time
}

var stampMark = []byte("8 bytes.")

func newTemplate(events int) *template {
	answer := &pb.WatchResponse{Header: header()}
	for i := range events {
		answer.Events = append(answer.Events, &mvccpb.Event{Kv: &mvccpb.KeyValue{
			Key: fmt.Appendf(nil, "watched/%016d", i), CreateRevision: 7, ModRevision: revision,
			Version: 3, Value: append(bytes.Clone(stampMark), make([]byte, valueSize-8)...),
		}})
	}
	t := &template{message: marshal(answer)}
	t.revisions = indexes(t.message, protowire.AppendVarint(nil, uint64(revision)))
	t.stamps = indexes(t.message, stampMark)
	return t
}

// indexes returns where mark stands in text.
func indexes(text, mark []byte) []int {
	var found []int
	for at := 0; ; {
		i := bytes.Index(text[at:], mark)
		if i < 0 {
			return found
		}
		found = append(found, at+i)
		at += i + len(mark)
	}
}

// fill returns a response to the watch with the given ID. The revision of the first event is the
// parameter first; each later event has the next revision.
func (t *template) fill(id, first int64, now time.Time) frame {
	message := make(frame, len(t.message), len(t.message)+1+binary.MaxVarintLen64)
	copy(message, t.message)
	last := first + int64(len(t.revisions)-2)
	binary.PutUvarint(message[t.revisions[0]:], uint64(last))
	for i, at := range t.revisions[1:] {
		binary.PutUvarint(message[at:], uint64(first+int64(i)))
	}
	for _, at := range t.stamps {
		binary.BigEndian.PutUint64(message[at:], uint64(now.UnixNano()))
	}
	message = protowire.AppendTag(message, 2, protowire.VarintType)
	return protowire.AppendVarint(message, uint64(id))
}
