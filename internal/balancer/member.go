package balancer

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

// Member is one endpoint. It outlives the connections that are made to it.
type Member struct {
	// read-only after newMember
	address     string
	removed     context.Context // ends when the member is removed from the endpoints
	remove      context.CancelFunc
	done        func(balancer.DoneInfo) // called when a request that is not idempotent ends
	doneMovable func(balancer.DoneInfo) // called when an idempotent request ends

	// safe for concurrent use
	health        *memberhealth.Member        // some of its methods need the tracker's mu
	conn          atomic.Pointer[conn]        // the ready connection; nil if there is none
	withoutHealth atomic.Bool                 // it has no health service, so it is a proxy
	socket        atomic.Pointer[trackedConn] // the TCP or unix socket of the current connection

	// guarded by the tracker's mu
	connection int // the number of connections made so far
}

func newMember(address string) *Member {
	m := &Member{address: address, health: memberhealth.New()}
	//nolint:forbidigo // a member outlives every call
	m.removed, m.remove = context.WithCancel(context.Background())
	m.done = func(info balancer.DoneInfo) { m.health.End(false, outcome(info)) }
	m.doneMovable = func(info balancer.DoneInfo) { m.health.End(true, outcome(info)) }
	return m
}

// Attempt is one attempt at a request. The picker finds it under AttemptKey in the request's
// context. A request without an Attempt counts as not idempotent.
type Attempt interface {
	// Idempotent reports whether the request can be sent again even if a server has already served
	// it.
	Idempotent() bool
	// SetMember notes the *Member that was picked.
	SetMember(any)
	// Avoid returns the *Member that was picked for the previous attempt, or nil.
	Avoid() any
}

// AttemptKey is the context key of an Attempt.
type AttemptKey struct{}

// outcome returns how a request ended, in the terms of package memberhealth.
func outcome(info balancer.DoneInfo) memberhealth.Outcome {
	refused := info.BytesReceived && isRefusal(info.Err)
	return memberhealth.Outcome{Answered: info.BytesReceived, Refused: refused,
		Leaderless: refused && classify.IsNoLeader(info.Err)}
}

// isRefusal reports whether err is the answer of a member that does not serve, for example without
// a leader. Such an answer comes at once. It does not show that the member serves requests quickly.
func isRefusal(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Unknown, codes.Internal, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.Unauthenticated:
		return true
	}
	return false
}

// closeConn closes the socket of the connection. All calls on the connection fail, and gRPC
// connects again. closeConn does nothing if the user's own transport credentials made the
// connection, because the socket is unknown then.
func (m *Member) closeConn() {
	if socket := m.socket.Load(); socket != nil {
		_ = socket.Close()
	}
}

// trackedConn is a net.Conn that counts the bytes received on it.
type trackedConn struct {
	net.Conn
	health *memberhealth.Member
}

func (c *trackedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.health.Receive(n)
	}
	return n, err
}
