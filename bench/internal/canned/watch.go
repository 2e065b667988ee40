package canned

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// revision is that of every answer, and the one before a stream's first event. As varints,
	// all revisions up to 8 times as much have one length, so that they can be overwritten.
	revision = int64(1)<<34 + 0x2a5a5a5

	// maxEvents bounds the events of a response.
	maxEvents = 10_000
)

// watchers are the watches of one stream.
type watchers struct {
	stream   grpc.ServerStream
	ids      []int64
	revision int64
}

// watch confirms watches, and sends the events that a watch asks for, until the client ends the
// stream.
func watch(stream grpc.ServerStream) error {
	w := &watchers{stream: stream, revision: revision}
	for {
		var req pb.WatchRequest
		if err := receive(stream, &req); err != nil {
			return err
		}
		var err error
		switch {
		case req.GetCreateRequest() != nil:
			err = w.create(req.GetCreateRequest())
		case req.GetCancelRequest() != nil:
			err = w.cancel(req.GetCancelRequest().WatchId)
		case req.GetProgressRequest() != nil:
			err = w.send(&pb.WatchResponse{Header: w.header(), WatchId: -1})
		}
		if err != nil {
			return err
		}
	}
}

func (w *watchers) header() *pb.ResponseHeader {
	h := header()
	h.Revision = w.revision
	return h
}

func (w *watchers) send(answer *pb.WatchResponse) error {
	message := marshal(answer)
	return w.stream.SendMsg(&message)
}

func (w *watchers) create(req *pb.WatchCreateRequest) error {
	id := req.WatchId
	if id == 0 && len(w.ids) > 0 {
		id = w.ids[len(w.ids)-1] + 1
	}
	w.ids = append(w.ids, id)
	created := &pb.WatchResponse{Header: w.header(), WatchId: id, Created: true}
	if err := w.send(created); err != nil {
		return err
	}
	var events, count, rate int
	to := []int64{id}
	if n, _ := fmt.Sscanf(string(req.Key), "watch/%d/%d/%d/", &events, &count, &rate); n < 3 {
		to = w.ids
		n, _ = fmt.Sscanf(string(req.Key), "spread/%d/%d/%d/", &events, &count, &rate)
		if n < 3 {
			return nil
		}
	}
	if events < 1 || events > maxEvents || rate < 0 || rate > 1000 {
		return status.Errorf(codes.InvalidArgument,
			"%q asks for %d events a response, %d times a second", req.Key, events, rate)
	}
	return w.feed(to, events, count, rate)
}

func (w *watchers) cancel(id int64) error {
	for i, known := range w.ids {
		if known == id {
			w.ids = append(w.ids[:i], w.ids[i+1:]...)
			break
		}
	}
	return w.send(&pb.WatchResponse{Header: w.header(), WatchId: id, Canceled: true})
}

// feed sends count responses, to one watch after the other.
func (w *watchers) feed(to []int64, events, count, rate int) error {
	var tick *time.Ticker
	if rate > 0 {
		tick = time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
	}
	t := newTemplate(events)
	for i := range count {
		if tick != nil {
			if err := wait(w.stream.Context(), tick); err != nil {
				return err
			}
		}
		message := t.fill(to[i%len(to)], w.revision+1, time.Now())
		w.revision += int64(events)
		if err := w.stream.SendMsg(&message); err != nil {
			return err
		}
	}
	return nil
}

func wait(ctx context.Context, tick *time.Ticker) error {
	select {
	case <-tick.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// template is a marshalled response whose revisions and times are overwritten for each copy.
type template struct {
	message   []byte
	revisions []int // where the header's and the events' revisions stand
	stamps    []int // where the values begin
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

// fill returns a response to the watch id, whose events have the revisions from first on.
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
