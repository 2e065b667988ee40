package retry

import (
	"context"
	"sync/atomic"
)

// Proof shows whether the requests that were made with a context can have reached a
// server. The error of a request cannot show it: callers compare that with the context's.
type Proof struct {
	begun  atomic.Int32 // requests
	unsent atomic.Int32 // of these, the ones that have ended and that no connection took
}

// proofKey is the context key under which a Proof is found.
type proofKey struct{}

// WithProof returns a context for requests, and the proof of what becomes of them.
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
