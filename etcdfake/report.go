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
	shownBytes    = 160 // of a request's text
)

// reportOpen says at the end of the test which calls wait and which watches are open, before the
// clients are closed.
func (c *Cluster) reportOpen() {
	c.tb.Helper()
	for _, r := range c.log.copy() {
		if !r.Done {
			c.atTheEnd(fmt.Sprint("a call still waits: ", r.describe(),
				c.callers.call(r.Method, r.Message)))
		}
	}
	for _, w := range c.openWatches() {
		if from, ended := c.callers.watch(string(w.req.Key)); !ended {
			c.atTheEnd(fmt.Sprintf("a watch is open: member %d, stream %d, %s%v", w.stream.m.index,
				w.stream.number, shorten(text(w.req)), from))
		}
	}
}

// report says which leases the test has left, and what came before a failure.
func (c *Cluster) report() {
	c.tb.Helper()
	for _, l := range c.Leases() {
		c.atTheEnd(fmt.Sprintf("a lease is not revoked: %x, of %v, with the keys %q%v",
			int64(l.ID), l.TTL, l.Keys, c.callers.lease(int64(l.ID))))
	}
	if !c.tb.Failed() {
		return
	}
	requests := c.log.copy()
	for _, r := range requests[max(0, len(requests)-shownRequests):] {
		c.tb.Log("etcdfake: " + r.describe())
	}
}

func (c *Cluster) atTheEnd(line string) {
	c.tb.Helper()
	c.tb.Log("etcdfake: at the end of the test " + line)
}

// servedWatch is a watcher on a stream of a member.
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

// describe is one line for a request: when it came, where, what it asked, and what became of it.
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

// what is the method and what it was asked.
func (r *Request) what() string {
	name := strings.TrimPrefix(string(r.Method), "/grpc.")
	if strings.HasPrefix(string(r.Method), etcdPrefix) {
		name = name[strings.LastIndexByte(name, '/')+1:]
	}
	if strings.HasPrefix(string(r.Method), etcdPrefix+"Auth/") {
		return name // the message may hold a password
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
