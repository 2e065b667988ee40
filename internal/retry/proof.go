package retry

import (
	"context"
	"sync/atomic"
)

// Proof shows whether requests made with a context may have reached a server. Their errors cannot
// show it, because callers compare them with the context's.
type Proof struct {
	begun  atomic.Int32 // requests
	unsent atomic.Int32 // of these, ended without a connection that took them
}

// proofKey is the context key under which a Proof is found.
type proofKey struct{}

// WithProof returns a context for requests, and the proof that they fill.
func WithProof(ctx context.Context) (context.Context, *Proof) {
	p := &Proof{}
	return context.WithValue(ctx, proofKey{}, p), p
}

// NothingSent reports whether it is certain that no server has received, or will
// receive, any of the requests. It is false for requests that no [Conn] has seen.
func (p *Proof) NothingSent() bool {
	begun := p.begun.Load()
	return begun > 0 && p.unsent.Load() == begun
}

// proofOf returns the proof that a request takes part in, or nil.
func proofOf(ctx context.Context) *Proof {
	p, _ := ctx.Value(proofKey{}).(*Proof)
	return p
}

// begin is the start of a request.
func (p *Proof) begin() {
	if p != nil {
		p.begun.Add(1)
	}
}

// end is the end of a request that failed.
func (p *Proof) end(sent bool) {
	if p != nil && !sent {
		p.unsent.Add(1)
	}
}
