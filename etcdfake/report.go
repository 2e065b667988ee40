package etcdfake

import (
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

const (
	shownRequests = 20
	shownLeft     = 20  // the maximum number of calls, of watches, and of leases that are logged
	shownBytes    = 160 // the length to which the text of a request or of a list of keys is cut
)

// reportOpen logs which calls still wait and which watches are open. It runs at the end of the
// test, before the clients are closed, because closing a client ends its calls and watches.
func (c *Cluster) reportOpen() {
	c.tb.Helper()
	var calls, watches left
	for _, r := range c.log.copy() {
		if !r.Done {
			calls.add(func() string {
				return fmt.Sprint(r.describe(), c.callers.call(r.Method, r.Message))
			})
		}
	}
	keys := c.callers.watchedKeys()
	for _, w := range c.openWatches() {
		from, noted := keys[string(w.req.Key)]
		if from == nil && noted {
			continue
		}
		watches.add(func() string {
			return fmt.Sprintf("member %d, stream %d, %s%v", w.stream.m.index, w.stream.number,
				shorten(text(w.req)), from)
		})
	}
	c.atTheEnd("a call still waits", calls)
	c.atTheEnd("a watch is open", watches)
}

// left counts the calls, the watches or the leases that a test has left open, and describes the
// first ones.
type left struct {
	count int
	shown []string
}

func (l *left) add(describe func() string) {
	if l.count++; len(l.shown) < shownLeft {
		l.shown = append(l.shown, describe())
	}
}

// report logs which leases the test has not revoked. If the test has failed, report also logs the
// last requests.
func (c *Cluster) report() {
	c.tb.Helper()
	var leases left
	for _, l := range c.Leases() {
		leases.add(func() string {
			return fmt.Sprintf("%x, of %v, with the keys %s%v", int64(l.ID), l.TTL,
				shorten(fmt.Sprintf("%q", l.Keys)), c.callers.lease(int64(l.ID)))
		})
	}
	c.atTheEnd("a lease is not revoked", leases)
	if !c.tb.Failed() {
		return
	}
	requests := c.log.copy()
	for _, r := range requests[max(0, len(requests)-shownRequests):] {
		c.tb.Log("etcdfake: " + r.describe())
	}
}

func (c *Cluster) atTheEnd(what string, l left) {
	c.tb.Helper()
	for _, line := range l.shown {
		c.tb.Log("etcdfake: at the end of the test " + what + ": " + line)
	}
	if more := l.count - len(l.shown); more > 0 {
		text := fmt.Sprintf("etcdfake: at the end of the test %s: and %d more", what, more)
		c.tb.Log(text)
	}
}

// servedWatch is an open watch on a stream of a member.
type servedWatch struct {
	stream *serverStream
	req    *pb.WatchCreateRequest
}

func (c *Cluster) openWatches() (all []servedWatch) {
	for _, m := range c.members {
		m.mu.Lock()
		streams := m.openStreams()
		m.mu.Unlock()
		for _, s := range streams {
			m.mu.Lock()
			ws := s.watch
			m.mu.Unlock()
			if ws == nil {
				continue
			}
			for _, req := range ws.Watchers() {
				all = append(all, servedWatch{s, req})
			}
		}
	}
	return all
}

// describe returns one line about a request: when it arrived, which member received it, what it
// asked for, and how it was answered.
func (r *Request) describe() string {
	outcome := "waits"
	switch {
	case r.Done && r.Err != nil:
		outcome = r.Err.Error()
	case r.Done:
		outcome = "OK"
	}
	where := fmt.Sprintf("member %d", r.Member)
	if r.Stream > 0 {
		where += fmt.Sprintf(", stream %d", r.Stream)
	}
	return fmt.Sprintf("%s %s: %s → %s", r.Time.Format(time.StampMilli), where, r.what(), outcome)
}

// what returns the name of the method and the text of the request message. It leaves out the
// message of an authentication method, because the message may hold a password.
func (r *Request) what() string {
	name := strings.TrimPrefix(string(r.Method), "/grpc.")
	if strings.HasPrefix(string(r.Method), etcdPrefix) {
		name = name[strings.LastIndexByte(name, '/')+1:]
	}
	if strings.HasPrefix(string(r.Method), etcdPrefix+"Auth/") {
		return name // without the message, which may hold a password
	}
	return name + " " + shorten(text(r.Message))
}

func text(msg proto.Message) string {
	return strings.Join(strings.Fields(fmt.Sprint(msg)), " ")
}

func shorten(s string) string {
	if len(s) <= shownBytes {
		return s
	}
	return strings.ToValidUTF8(s[:shownBytes], "") + "…"
}
