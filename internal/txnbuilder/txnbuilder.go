// Package txnbuilder builds the transactions of decorators. A decorator is a clientv3.KV that wraps
// another one. Conditions, operations and transactions are type parameters, because internal
// packages do not import package clientv3.
package txnbuilder

import (
	"cmp"
	"sync"
)

// Txn has the methods of clientv3.Txn that a Builder calls.
type Txn[C, O, T any] interface {
	If(...C) T
	Then(...O) T
	Else(...O) T
}

// Parts are the conditions and operations of a transaction.
type Parts[C, O, T any] struct {
	Inner T // the transaction of the wrapped KV, to which these parts were added
	Cmps  []C
	Then  []O
	Else  []O
	Err   error // the first error of RewriteCmps or RewriteOps
}

// Builder collects the conditions and operations of a decorator's transaction. A decorator is a KV
// that wraps another KV. Its transaction embeds a Builder and adds the method Commit.
//
// The Builder also adds the conditions and operations to a transaction of the wrapped KV. That
// transaction panics if the user calls If, Then and Else in a wrong order.
type Builder[C, O any, T Txn[C, O, T]] struct {
	// RewriteCmps and RewriteOps change conditions and operations before the wrapped KV gets them.
	// A nil function changes nothing. Both are read-only after Start.
	RewriteCmps func([]C) ([]C, error)
	RewriteOps  func([]O) ([]O, error)

	outer T // the transaction that embeds this Builder; read-only after Start

	// guarded by mu
	mu    sync.Mutex
	parts Parts[C, O, T]
}

// Start begins a transaction. Here, outer is the decorator's own transaction, which If, Then and
// Else return. The wrapped KV's new transaction is inner. Start must be called exactly one time,
// before the other methods.
func (b *Builder[C, O, T]) Start(inner, outer T) { b.parts.Inner, b.outer = inner, outer }

// If implements clientv3.Txn.
func (b *Builder[C, O, T]) If(cs ...C) T {
	return add(b, T.If, &b.parts.Cmps, b.RewriteCmps, cs)
}

// Then implements clientv3.Txn.
func (b *Builder[C, O, T]) Then(ops ...O) T {
	return add(b, T.Then, &b.parts.Then, b.RewriteOps, ops)
}

// Else implements clientv3.Txn.
func (b *Builder[C, O, T]) Else(ops ...O) T {
	return add(b, T.Else, &b.parts.Else, b.RewriteOps, ops)
}

// add rewrites the conditions or operations in some, and appends them to *list. It also passes them
// to step, the method If, Then or Else of the wrapped KV's transaction. It returns the transaction
// that embeds b.
func add[P, C, O any, T Txn[C, O, T]](
	b *Builder[C, O, T], step func(T, ...P) T, list *[]P, rewrite func([]P) ([]P, error), some []P,
) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rewrite != nil {
		var err error
		some, err = rewrite(some)
		b.parts.Err = cmp.Or(b.parts.Err, err)
	}
	b.parts.Inner = step(b.parts.Inner, some...)
	*list = append(*list, some...)
	return b.outer
}

// Parts returns all conditions and operations that were added, after they were rewritten.
func (b *Builder[C, O, T]) Parts() Parts[C, O, T] {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parts
}
