package concurrency

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Isolation says which changes by other clients make a transaction of [NewSTM] start over.
type Isolation int

// The isolation levels, from the strictest to the least strict.
const (
	// SerializableSnapshot is the default and the strictest level. All reads are from the revision
	// of the first one, and the transaction is applied only if no key that it read or writes has
	// changed since. Transactions behave as if they had run one after the other; write skew is not
	// possible.
	SerializableSnapshot = Isolation(0)

	// Serializable is SerializableSnapshot without the check of keys that are written and were not
	// read: they are overwritten in any case.
	Serializable = Isolation(1)

	// RepeatableReads reads each key once, at the newest revision, and applies the transaction only
	// if no key that it read has changed since. While the function runs it may see keys of
	// different revisions. If the transaction is applied, all that it has seen was true in one
	// revision.
	RepeatableReads = Isolation(2)

	// ReadCommitted reads each key once and checks nothing: changes that other clients have made
	// meanwhile are overwritten.
	ReadCommitted = Isolation(3)
)

// STM is the store as the function given to [NewSTM] sees it. It is valid during that call of the
// function only, and not safe for concurrent use.
//
// Get and Rev read from the cluster, within the context of [WithAbortContext]. If a read fails they
// do not return: they end the function by a panic, which NewSTM turns into the error that it
// returns. If the function recovers from the panic, NewSTM still returns that error.
type STM interface {
	// Get returns the value of a key: the value of the last Put in this transaction, "" after a
	// Del, and otherwise the value in the store, or "" if the key does not exist there. Keys that
	// were not read yet are read in one request. For several keys Get returns the value of the
	// first key that this transaction has written. If it has written none of them, Get returns the
	// value of the first key in the list.
	Get(key ...string) string

	// Put sets a key when the transaction is applied. The last Put or Del of a key
	// counts. Put panics for options that [clientv3.OpPut] does not accept.
	Put(key, val string, opts ...clientv3.OpOption)

	// Rev returns the revision in which a key was last modified in the store, and 0 if it does not
	// exist. It reads the key as Get does.
	Rev(key string) int64

	// Del deletes a key when the transaction is applied.
	Del(key string)

	// commit applies the transaction, and returns the response. It returns nil if the transaction
	// was not applied, because of a conflict or an error.
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
// request for each key. They count as read.
func WithPrefetch(keys ...string) STMOption {
	return func(o *stmOptions) { o.prefetch = append(o.prefetch, keys...) }
}

// NewSTM runs apply as a transaction: its reads come from the store, its writes are collected, and
// when it returns nil they are applied all at once, if no change came in between that the isolation
// level does not allow. Otherwise apply is called again, after a wait that grows with the number of
// conflicts, and sees the store anew. The number of calls has no limit. So apply must have no other
// effects, or repeatable ones.
//
// NewSTM blocks until the transaction is applied or has failed; the context of [WithAbortContext]
// ends it in between. It calls apply on the caller's goroutine, so that a panic in apply reaches
// the caller; nothing is applied then.
//
// NewSTM returns the response to the transaction that was applied. Its Responses are those to the
// writes, in the order in which their keys were first written.
//
// Errors are what apply returned, with nothing applied, and those of [clientv3.KV] for the
// requests. After an error of the last request, which applies the transaction, it may or may not
// have been applied. A transaction of more than 128 keys (see the server's --max-txn-ops) is
// refused with rpctypes.ErrTooManyOps.
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
