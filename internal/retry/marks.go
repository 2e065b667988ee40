package retry

import (
	"context"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Idempotent marks a LeaseGrant request whose lease id no other request uses. Such a request may be
// sent again like a read. If the lease is granted already, servers refuse the request, so there is
// no second lease. The zero value is ready for use. Each request needs an Idempotent of its own. An
// Idempotent is safe for concurrent use.
type Idempotent struct {
	sends atomic.Int32
}

type idempotentKey struct{}

// With returns a copy of ctx that carries i. A LeaseGrant request made with this copy is marked as
// idempotent.
func (i *Idempotent) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, idempotentKey{}, i)
}

// SentOnce reports whether the client passed the marked request to gRPC exactly once. If so, an
// answer that the lease exists cannot be due to an earlier attempt at the same request.
func (i *Idempotent) SentOnce() bool { return i.sends.Load() == 1 }

// idempotent returns the mark of a LeaseGrant request, which is in the request's context. It
// returns nil if the request has no mark or another method.
func idempotent(ctx context.Context, method string) *Idempotent {
	if method != pb.Lease_LeaseGrant_FullMethodName {
		return nil
	}
	i, _ := ctx.Value(idempotentKey{}).(*Idempotent)
	return i
}

// Proof records whether a server may have received a unary request. It covers all requests made
// with the context that [WithProof] has returned. The error of a request cannot carry this fact.
// Once the context has ended, the error is the context's own, because callers compare it with ==. A
// Proof is safe for concurrent use.
type Proof struct {
	begun  atomic.Int32 // number of requests that were begun
	unsent atomic.Int32 // number of requests that failed without ever leaving the client
}

// proofKey is the context key of a Proof.
type proofKey struct{}

// WithProof returns a copy of ctx, and a Proof. The Proof records whether a server may have
// received any unary request made with the copy.
func WithProof(ctx context.Context) (context.Context, *Proof) {
	p := &Proof{}
	return context.WithValue(ctx, proofKey{}, p), p
}

// NothingSent reports whether it is certain that no request recorded by p has reached, or will
// reach, a server. It returns false if p has recorded no request, or if one of them has not ended.
func (p *Proof) NothingSent() bool {
	begun := p.begun.Load()
	return begun > 0 && p.unsent.Load() == begun
}
