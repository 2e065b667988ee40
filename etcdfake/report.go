package etcdfake

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
)

const (
	shownRequests = 20
	shownBytes    = 160 // of a request's text
)

// report says at the end of the test what the test has left, and what came before a failure.
func (c *Cluster) report() {
	c.tb.Helper()
	requests := c.log.copy()
	var lines []string
	for _, r := range requests {
		if !r.Done {
			lines = append(lines, "a call still waits: "+r.describe())
		}
	}
	lines = append(lines, c.openWatches()...)
	for _, l := range c.Leases() {
		lines = append(lines, fmt.Sprintf("a lease is not revoked: %x, of %v, with the keys %q",
			int64(l.ID), l.TTL, l.Keys))
	}
	for _, line := range lines {
		c.tb.Log("etcdfake: at the end of the test " + line)
	}
	if !c.tb.Failed() {
		return
	}
	for _, r := range requests[max(0, len(requests)-shownRequests):] {
		c.tb.Log("etcdfake: " + r.describe())
	}
}

func (c *Cluster) openWatches() []string {
	var lines []string
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
				lines = append(lines, fmt.Sprintf("a watch is open: member %d, stream %d, %s",
					m.index, s.number, shorten(text(req))))
			}
		}
	}
	return lines
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
	name := strings.TrimPrefix(string(r.Method), "/grpc.")
	if strings.HasPrefix(string(r.Method), etcdPrefix) {
		name = name[strings.LastIndexByte(name, '/')+1:]
	}
	what := shorten(text(r.Message))
	if strings.HasPrefix(string(r.Method), etcdPrefix+"Auth/") {
		what = "" // it may hold a password
	}
	return fmt.Sprintf("%s %s: %s %s → %s", r.Time.Format(time.StampMilli), where, name, what,
		outcome)
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
