package etcdfake

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// keptRequests is the maximum number of requests that [Cluster.Requests] returns. The request log
// drops older requests.
const keptRequests = 100_000

// Request is a request that a member has received.
type Request struct {
	Method   Method        // the full name of the method
	Member   int           // the index of the member that has received the request
	Stream   int           // 1 for the first stream in the cluster; 0 if the method is unary
	Time     time.Time     // when the request arrived
	Message  proto.Message // the request message, not to be modified
	Metadata metadata.MD   // the metadata that the client sent with the request
	Done     bool          // true when the request was answered or, on a stream, handled
	Err      error         // the error that the request was answered with, or nil
}

type requestLog struct {
	// guarded by mu
	mu sync.Mutex
	// requests holds the newest requests, oldest first. When there are more than 2*keptRequests,
	// the older half is dropped.
	requests []*Request
	calls    map[Method]int
	streams  int
}

// begin adds a request to the log. It returns the log entry, and the Call to pass to the function
// given to On.
func (l *requestLog) begin(
	ctx context.Context, m *Member, name Method, stream int, msg proto.Message,
) (*Request, *Call) {
	md, _ := metadata.FromIncomingContext(ctx)
	r := &Request{Method: name, Member: m.index, Stream: stream, Time: time.Now(), Message: msg,
		Metadata: md}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls = make(map[Method]int)
	}
	l.calls[name]++
	l.requests = append(l.requests, r)
	if len(l.requests) > 2*keptRequests {
		l.requests = append([]*Request(nil), l.requests[keptRequests:]...)
	}
	return r, &Call{Method: name, Member: m.index, Number: l.calls[name], Stream: stream,
		Request: msg, Metadata: md, ctx: ctx}
}

func (l *requestLog) end(r *Request, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Done, r.Err = true, err
}

// nextStream returns the number of a new stream.
func (l *requestLog) nextStream() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams++
	return l.streams
}

func (l *requestLog) copy() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	requests := make([]Request, 0, len(l.requests))
	for _, r := range l.requests[max(0, len(l.requests)-keptRequests):] {
		requests = append(requests, *r)
	}
	return requests
}

// Calls returns how many requests of a method the members have received. On a stream each message
// of the client counts as a request. Calls fails the test if there is no such method.
func (c *Cluster) Calls(m Method) int {
	c.tb.Helper()
	name, ok := fullName(m)
	if !ok {
		c.tb.Fatalf("etcdfake: Calls of the method %q, which etcd does not have", m)
	}
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	return c.log.calls[name]
}

// Requests returns the newest 100,000 requests that the members have received, in the order in
// which they arrived.
func (c *Cluster) Requests() []Request { return c.log.copy() }
