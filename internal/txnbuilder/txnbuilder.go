// Package txnbuilder has the transaction builder of decorators of a KV. The types of conditions,
// operations and transactions are parameters, because internal packages do not import the root.
package txnbuilder

import "sync"

// Txn is what a Builder needs of clientv3.Txn.
type Txn[C, O, T any] interface {
	If(...C) T
	Then(...O) T
	Else(...O) T
}

// Parts are the parts of a transaction.
type Parts[C, O, T any] struct {
	Inner T // the transaction of the decorated KV, which has these parts
	Cmps  []C
	Then  []O
	Else  []O
	Err   error // the first error of a Rewrite
}

// Builder collects the parts of a transaction, and builds the transaction of the decorated KV with
// them, which checks the order of the calls. A decorator embeds it and adds Commit.
type Builder[C, O any, T Txn[C, O, T]] struct {
	// read-only after Start
	outer   T
	rewrite Rewrite[C, O]

	// guarded by mu
	mu    sync.Mutex
	parts Parts[C, O, T]
}

// Rewrite changes conditions and operations before the decorated KV gets them.
type Rewrite[C, O any] struct {
	Cmps func([]C) ([]C, error)
	Ops  func([]O) ([]O, error)
}

// Start starts a transaction: inner is that of the decorated KV, outer is the decorator's own,
// which If, Then and Else return. It is called once, before the other methods.
func (b *Builder[C, O, T]) Start(inner, outer T, rewrite Rewrite[C, O]) {
	b.parts.Inner, b.outer, b.rewrite = inner, outer, rewrite
}

// If implements clientv3.Txn.
func (b *Builder[C, O, T]) If(cs ...C) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	cs = rewritten(&b.parts, b.rewrite.Cmps, cs)
	b.parts.Inner = b.parts.Inner.If(cs...)
	b.parts.Cmps = append(b.parts.Cmps, cs...)
	return b.outer
}

// Then implements clientv3.Txn.
func (b *Builder[C, O, T]) Then(ops ...O) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	ops = rewritten(&b.parts, b.rewrite.Ops, ops)
	b.parts.Inner = b.parts.Inner.Then(ops...)
	b.parts.Then = append(b.parts.Then, ops...)
	return b.outer
}

// Else implements clientv3.Txn.
func (b *Builder[C, O, T]) Else(ops ...O) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	ops = rewritten(&b.parts, b.rewrite.Ops, ops)
	b.parts.Inner = b.parts.Inner.Else(ops...)
	b.parts.Else = append(b.parts.Else, ops...)
	return b.outer
}

// Parts returns the parts that were added.
func (b *Builder[C, O, T]) Parts() Parts[C, O, T] {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parts
}

// rewritten returns what f makes of some parts, and records its error. A nil f changes nothing.
func rewritten[P, C, O, T any](parts *Parts[C, O, T], f func([]P) ([]P, error), of []P) []P {
	if f == nil {
		return of
	}
	of, err := f(of)
	if parts.Err == nil {
		parts.Err = err
	}
	return of
}
