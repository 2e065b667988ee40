package retry

import (
	"context"
	"sync/atomic"
)

// Proof records whether the requests made with a context may have reached a server. Their errors do
// not show that, because callers compare them with the context's error.
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

// proofOf returns the Proof of a context, or nil.
func proofOf(ctx context.Context) *Proof {
	p, _ := ctx.Value(proofKey{}).(*Proof)
	return p
}

// begin records that a request begins.
func (p *Proof) begin() {
	if p != nil {
		p.begun.Add(1)
	}
}

// end records that a request has failed, and whether it may have been sent.
func (p *Proof) end(sent bool) {
	if p != nil && !sent {
		p.unsent.Add(1)
	}
}
