package retry

import (
	"context"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Idempotent marks a LeaseGrant request whose id no other request uses. A server that has granted
// the lease refuses the request when it comes again, so it may be sent again like a read. The zero
// value marks one request. It is safe for concurrent use.
type Idempotent struct {
	sends atomic.Int32
}

type idempotentKey struct{}

// With returns a context that marks the request made with it.
func (i *Idempotent) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, idempotentKey{}, i)
}

// SentOnce reports whether gRPC was given the request exactly once. If so, its answer cannot be due
// to an earlier attempt.
func (i *Idempotent) SentOnce() bool { return i.sends.Load() == 1 }

// idempotent returns the Idempotent in the context of a request, or nil if it has none.
func idempotent(ctx context.Context, method string) *Idempotent {
	if method != pb.Lease_LeaseGrant_FullMethodName {
		return nil
	}
	i, _ := ctx.Value(idempotentKey{}).(*Idempotent)
	return i
}

// Proof records whether the requests made with a context may have reached a server. The errors of
// these requests cannot show it, because callers compare these errors with the context's error by
// ==.
type Proof struct {
	begun  atomic.Int32 // requests
	unsent atomic.Int32 // requests that failed and that no connection took
}

// proofKey is the context key of a Proof.
type proofKey struct{}

// WithProof returns a context for requests, and the Proof that records them.
func WithProof(ctx context.Context) (context.Context, *Proof) {
	p := &Proof{}
	return context.WithValue(ctx, proofKey{}, p), p
}

// NothingSent reports whether it is certain that no server has received, or will receive, any of
// the requests. It is false if no [Conn] has seen a request.
func (p *Proof) NothingSent() bool {
	begun := p.begun.Load()
	return begun > 0 && p.unsent.Load() == begun
}
