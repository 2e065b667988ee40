package concurrency

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Isolation is the isolation level of a transaction of [NewSTM]. It says which changes by other
// clients conflict with the transaction. After a conflict the transaction starts over.
type Isolation int

// The isolation levels, from the strictest to the least strict.
const (
	// SerializableSnapshot is the default and the strictest level. All reads in one call of the
	// function are from one revision. This is the revision of the first read, or after a conflict
	// the revision at which the conflict was found. The transaction is applied only if all keys
	// that it has read or writes are unchanged since that revision. The result is as if the
	// transactions had run one after the other, so write skew is not possible.
	SerializableSnapshot = Isolation(0)

	// Serializable is SerializableSnapshot with a weaker check: keys that the transaction writes
	// but has not read may have changed. The transaction overwrites them.
	Serializable = Isolation(1)

	// RepeatableReads reads each key once, at the newest revision. The transaction is applied only
	// if all keys that it has read are unchanged since then. While the function runs, it may see
	// keys from different revisions. If the transaction is applied, there was one revision at which
	// all keys were as the function has seen them.
	RepeatableReads = Isolation(2)

	// ReadCommitted reads each key once and has no conflicts. The transaction overwrites changes
	// that other clients have made since its reads.
	ReadCommitted = Isolation(3)
)

// STM is the store as seen by the function that is given to [NewSTM]. It is valid only during one
// call of the function, and is not safe for concurrent use.
//
// Get and Rev read from the cluster, in the context that [WithAbortContext] sets. If a read fails,
// Get and Rev do not return: they end the function by a panic. NewSTM then returns the error of the
// read, even if the function recovers from the panic.
type STM interface {
	// Get returns the value of a key, as this transaction sees it:
	//
	//   - after a Put in this transaction: the value that was put last
	//   - after a Del in this transaction: ""
	//   - otherwise: the value in the store, or "" if the key does not exist there
	//
	// For several keys, Get returns the value of the first one that this transaction has written.
	// If it has written none of them, Get returns the value of the first key in the list. One
	// request reads all keys of the list that were not read before.
	Get(key ...string) string

	// Put sets a key when the transaction is applied. If the function calls Put and Del for a key
	// several times, the last call counts. Put panics for options that [clientv3.OpPut] does not
	// accept.
	Put(key, val string, opts ...clientv3.OpOption)

	// Rev returns the mod revision that a key has in the store, or 0 if the key does not exist
	// there. It reads the key if this transaction has not read it before.
	Rev(key string) int64

	// Del deletes a key when the transaction is applied.
	Del(key string)

	// commit applies the transaction and returns the response. It returns nil after a conflict or
	// an error.
	commit() *clientv3.TxnResponse

	// reset forgets what was read and written, for another attempt of the transaction.
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

// WithAbortContext sets the context of the transaction's requests and of its waits after conflicts.
// The default is the client's context, which ends when the client is closed.
func WithAbortContext(ctx context.Context) STMOption {
	return func(o *stmOptions) { o.ctx = ctx }
}

// WithPrefetch makes NewSTM read the given keys in one request before each call of the function.
// Without this option, each Get of a key that was not read before costs a request. NewSTM treats
// the given keys as if the function had read them.
func WithPrefetch(keys ...string) STMOption {
	return func(o *stmOptions) { o.prefetch = append(o.prefetch, keys...) }
}

// NewSTM runs apply as a transaction. apply reads from the store, and NewSTM collects what apply
// writes. When apply returns nil, the writes are applied all at once, unless another client has
// made a change that is a conflict at the isolation level.
//
// After a conflict NewSTM waits and calls apply again, which then sees the new state of the store.
// The wait grows with the number of conflicts. The number of calls has no limit. So apply should
// have no other effects than its writes, or only effects that may be repeated.
//
// NewSTM blocks until the transaction is applied or has failed, or until the context that
// [WithAbortContext] sets ends. It calls apply on the caller's goroutine, so that a panic in apply
// reaches the caller. After a panic nothing is applied.
//
// NewSTM returns the response to the transaction that was applied. The response has one part for
// each key that was written, in the order in which the keys were first written.
//
// Errors:
//
//   - the error of apply: nothing is applied
//   - those of [clientv3.KV] for the requests. After an error of the last request, which applies
//     the transaction, the outcome is unknown, unless the server has refused the request.
//   - rpctypes.ErrTooManyOps if the transaction has more than 128 keys (see the server's
//     --max-txn-ops)
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
