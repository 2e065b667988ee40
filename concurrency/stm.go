package concurrency

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Isolation says which changes by other clients are conflicts for a transaction of [NewSTM]. After
// a conflict the transaction starts over.
type Isolation int

// The isolation levels, from the strictest to the least strict.
const (
	// SerializableSnapshot is the default and the strictest level. All reads are from the revision
	// of the first read. The transaction is applied only if no key that it has read or writes has
	// changed since that revision. Transactions behave as if they had run one after the other, so
	// write skew is not possible.
	SerializableSnapshot = Isolation(0)

	// Serializable is SerializableSnapshot without the check of keys that the transaction writes
	// and has not read. It overwrites such keys in any case.
	Serializable = Isolation(1)

	// RepeatableReads reads each key once, at the newest revision. The transaction is applied only
	// if no key that it has read has changed since. While the function runs, it may see keys of
	// different revisions. If the transaction is applied, there was one revision in which the keys
	// were as the function has seen them.
	RepeatableReads = Isolation(2)

	// ReadCommitted reads each key once and has no conflicts: changes that other clients make in
	// the meantime are overwritten.
	ReadCommitted = Isolation(3)
)

// STM is the store as the function given to [NewSTM] sees it. It is valid only during that call of
// the function, and is not safe for concurrent use.
//
// Get and Rev read from the cluster, in the context of [WithAbortContext]. If a read fails, they do
// not return: they end the function by a panic, and NewSTM returns the error of the read. NewSTM
// returns that error even if the function recovers from the panic.
type STM interface {
	// Get returns the value of a key: the value of the last Put in this transaction, "" after a
	// Del, and otherwise the value in the store, or "" if the key does not exist there. Get reads
	// all keys that were not read yet in one request. For several keys Get returns the value of the
	// first key that this transaction has written. If it has written none of them, Get returns the
	// value of the first key in the list.
	Get(key ...string) string

	// Put sets a key when the transaction is applied. If a key has several calls of Put and Del,
	// the last one counts. Put panics for options that [clientv3.OpPut] does not accept.
	Put(key, val string, opts ...clientv3.OpOption)

	// Rev returns the mod revision that a key has in the store, or 0 if it does not exist there. It
	// reads the key as Get does.
	Rev(key string) int64

	// Del deletes a key when the transaction is applied.
	Del(key string)

	// commit applies the transaction and returns the response. If there is a conflict or an error,
	// it returns nil.
	commit() *clientv3.TxnResponse

	// reset begins another attempt.
	reset()
}

type stmOptions struct {
	ctx      context.Context
	level    Isolation
	prefetch []string
}

// STMOption changes a transaction that [NewSTM] runs.
type STMOption func(*stmOptions)

// WithIsolation sets the isolation level. The default is [SerializableSnapshot].
func WithIsolation(lvl Isolation) STMOption {
	return func(o *stmOptions) { o.level = lvl }
}

// WithAbortContext sets the context of the transaction's requests and waits. The default is the
// client's, which ends when the client is closed.
func WithAbortContext(ctx context.Context) STMOption {
	return func(o *stmOptions) { o.ctx = ctx }
}

// WithPrefetch reads keys in one request before each call of the function, instead of in one
// request for each key. The keys count as read by the function.
func WithPrefetch(keys ...string) STMOption {
	return func(o *stmOptions) { o.prefetch = append(o.prefetch, keys...) }
}

// NewSTM runs apply as a transaction: apply reads from the store, and NewSTM collects what apply
// writes. When apply returns nil, the writes are applied all at once, unless another client has
// made a change that is a conflict at the isolation level. After a conflict NewSTM waits, and calls
// apply again, which then sees the new state of the store. The wait grows with the number of
// conflicts. The number of calls has no limit. So apply must have no other effects, or only effects
// that may be repeated.
//
// NewSTM blocks until the transaction is applied or has failed, or the context of
// [WithAbortContext] ends. It calls apply on the caller's goroutine, so that a panic in apply
// reaches the caller. After a panic nothing is applied.
//
// NewSTM returns the response to the transaction that was applied. Its Responses are those to the
// writes, in the order in which their keys were first written.
//
// Errors are the error of apply, after which nothing is applied, and those of [clientv3.KV] for the
// requests. After an error of the last request, which applies the transaction, the outcome is
// unknown. A transaction of more than 128 keys (see the server's --max-txn-ops) is refused with
// rpctypes.ErrTooManyOps.
func NewSTM(
	c *clientv3.Client, apply func(STM) error, so ...STMOption,
) (*clientv3.TxnResponse, error) {
	opts := stmOptions{ctx: c.Ctx()}
	for _, opt := range so {
		opt(&opts)
	}
	if opts.level < SerializableSnapshot || opts.level > ReadCommitted {
		return nil, fmt.Errorf("concurrency: no isolation level %d", opts.level)
	}
	if len(opts.prefetch) > 0 {
		inner := apply
		apply = func(s STM) error {
			s.Get(opts.prefetch...)
			return inner(s)
		}
	}
	return (&transaction{ctx: opts.ctx, store: c, level: opts.level}).run(apply)
}

// NewSTMRepeatable is [NewSTM] with [RepeatableReads] and the given context.
func NewSTMRepeatable(
	ctx context.Context, c *clientv3.Client, apply func(STM) error,
) (*clientv3.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(RepeatableReads))
}

// NewSTMSerializable is [NewSTM] with [Serializable] and the given context.
func NewSTMSerializable(
	ctx context.Context, c *clientv3.Client, apply func(STM) error,
) (*clientv3.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(Serializable))
}

// NewSTMReadCommitted is [NewSTM] with [ReadCommitted] and the given context.
func NewSTMReadCommitted(
	ctx context.Context, c *clientv3.Client, apply func(STM) error,
) (*clientv3.TxnResponse, error) {
	return NewSTM(c, apply, WithAbortContext(ctx), WithIsolation(ReadCommitted))
}
