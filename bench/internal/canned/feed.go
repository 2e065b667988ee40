package canned

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxEvents bounds the events of a response.
	maxEvents = 10_000

	// maxRate bounds the responses a second.
	maxRate = 1000
)

// feed is what is left to send of the events that a watch asked for.
type feed struct {
	*template

	key    string
	id     int64
	spread bool // the responses go to all watches of the stream in turn, not to id
	events int  // in each response
	left   int  // responses still to be sent
	next   int  // if spread: which watch, in the list of watches, gets the next response

	interval time.Duration
	due      time.Time // when the next response is due, if there is an interval
}

// newFeed returns the feed of the watch with the given ID. The watch's key says which events the
// feed sends. newFeed returns nil if the key asks for no events.
func newFeed(key string, id int64) (*feed, error) {
	kind, _, _ := strings.Cut(key, "/")
	if kind != "watch" && kind != "spread" {
		return nil, nil
	}
	var events, count, rate int
	if _, err := fmt.Sscanf(key, kind+"/%d/%d/%d/", &events, &count, &rate); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "%q: %s", key, err)
	}
	if events < 1 || events > maxEvents || count < 0 || rate < 0 || rate > maxRate {
		return nil, status.Errorf(codes.InvalidArgument,
			"%q asks for %d responses of %d events, %d a second", key, count, events, rate)
	}
	f := &feed{template: newTemplate(events), key: key, id: id, spread: kind == "spread",
		events: events, left: count}
	if rate > 0 {
		f.interval = time.Second / time.Duration(rate)
		f.due = time.Now().Add(f.interval)
	}
	return f, nil
}

// target returns the watch that gets the next response, if there is one.
func (f *feed) target(ids []int64) (int64, bool) {
	if !f.spread {
		return f.id, true
	}
	if len(ids) == 0 {
		return 0, false
	}
	return ids[f.next%len(ids)], true
}

// fill returns the next response, and counts it in f.left. The parameter to is the ID of the watch
// that gets the response. The parameter first is the revision of the response's first event.
func (f *feed) fill(to, first int64, now time.Time) frame {
	f.left--
	f.next++
	if f.interval > 0 {
		f.due = f.due.Add(f.interval)
	}
	return f.template.fill(to, first, now)
}
