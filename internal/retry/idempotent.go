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

// SentOnce reports whether gRPC was certainly given the request exactly once. Its answer then
// cannot be due to an earlier attempt.
func (i *Idempotent) SentOnce() bool { return i.sends.Load() == 1 }

// idempotent returns the mark of a request, or nil if it has none.
func idempotent(ctx context.Context, method string) *Idempotent {
	if method != pb.Lease_LeaseGrant_FullMethodName {
		return nil
	}
	i, _ := ctx.Value(idempotentKey{}).(*Idempotent)
	return i
}
