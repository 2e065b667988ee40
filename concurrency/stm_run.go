package concurrency

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// conflictBackoff spaces the attempts of a transaction after conflicts. An attempt takes two round
// trips or more, during which the keys must not change.
var conflictBackoff = backoff.Policy{Base: 4 * time.Millisecond, Max: 500 * time.Millisecond,
	Jitter: 1}

// errStale ends an attempt whose snapshot has been compacted.
var errStale = errors.New("concurrency: the transaction's snapshot was compacted")

// transaction is the STM of one NewSTM call, over all of its attempts.
type transaction struct {
	// read-only after newTransaction
	ctx   context.Context
	store clientv3.KV
	level Isolation

	// of the attempt
	reads    readSet
	writes   writeSet
	snapshot int64 // revision that a snapshot level reads at; 0: not known yet
	err      error // why the attempt has ended early

	// what the response to the last commit, which had a conflict, says of the keys that were read
	hints    map[string]found
	hintsRev int64
}

func newTransaction(ctx context.Context, store clientv3.KV, level Isolation) *transaction {
	return &transaction{ctx: ctx, store: store, level: level}
}

// oneSnapshot reports whether all reads have to be of one revision.
func (t *transaction) oneSnapshot() bool { return t.level <= Serializable }

// checksReads reports whether keys that were read must not have changed.
func (t *transaction) checksReads() bool { return t.level <= RepeatableReads }

// checksWrites reports whether keys that are written must not have changed.
func (t *transaction) checksWrites() bool { return t.level == SerializableSnapshot }

// run attempts the transaction until it is applied or fails.
func (t *transaction) run(apply func(STM) error) (*clientv3.TxnResponse, error) {
	for n := 0; ; n++ {
		t.reset()
		err := t.attempt(apply)
		if err == nil {
			var resp *clientv3.TxnResponse
			if resp, err = t.commit(), t.err; resp != nil {
				return resp, nil
			}
		}
		if err != nil && !errors.Is(err, errStale) {
			return nil, err
		}
		if err := backoff.Wait(t.ctx, conflictBackoff.Delay(n)); err != nil {
			return nil, err
		}
	}
}

// attempt calls apply. It recovers only from the panic of a failed read of this transaction. Any
// other panic goes on to the caller, with its stack trace, as if there were no deferred function.
func (t *transaction) attempt(apply func(STM) error) (err error) {
	defer func() {
		if t.err == nil {
			return
		}
		err = t.err
		if p := recover(); p != nil && p != any(t) {
			panic(p) //nolint:forbidigo // the panic of the caller's function
		}
	}()
	return apply(t)
}

// fail ends the attempt and does not return.
func (t *transaction) fail(err error) {
	t.err = err
	panic(t) //nolint:forbidigo // ends the caller's function; run recovers
}

// reset implements STM.
func (t *transaction) reset() {
	t.reads, t.writes, t.err, t.snapshot = readSet{}, writeSet{}, nil, 0
	if len(t.hints) > 0 && t.oneSnapshot() {
		t.snapshot = t.hintsRev
	}
}

// Get implements STM.
func (t *transaction) Get(keys ...string) string {
	for _, key := range keys {
		if val, ok := t.writes.value(key); ok {
			return val
		}
	}
	if len(keys) == 0 {
		return ""
	}
	t.read(keys)
	return string(t.reads.byKey[keys[0]].kv.GetValue())
}

// Rev implements STM.
func (t *transaction) Rev(key string) int64 {
	t.read([]string{key})
	return t.reads.byKey[key].rev()
}

// Put implements STM.
func (t *transaction) Put(key, val string, opts ...clientv3.OpOption) {
	t.writes.add(key, val, clientv3.OpPut(key, val, opts...))
}

// Del implements STM.
func (t *transaction) Del(key string) { t.writes.add(key, "", clientv3.OpDelete(key)) }

// commit implements STM. After a conflict it keeps what the keys that were read are now: the next
// attempt most likely reads these.
func (t *transaction) commit() *clientv3.TxnResponse {
	t.hints = nil
	txn := t.store.Txn(t.ctx).If(t.conditions()...).Then(t.writes.ops...)
	if t.checksReads() {
		txn = txn.Else(getOps(t.reads.keys)...)
	}
	resp, err := txn.Commit()
	if err != nil {
		t.err = err
		return nil
	}
	if resp.Succeeded {
		return resp
	}
	t.hints, t.err = foundIn(t.reads.keys, resp)
	t.hintsRev = resp.Header.GetRevision()
	return nil
}

// conditions returns the conditions under which the transaction is applied.
func (t *transaction) conditions() []clientv3.Cmp {
	var cmps []clientv3.Cmp
	if t.checksReads() {
		for _, key := range t.reads.keys {
			cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "=",
				t.reads.byKey[key].rev()))
		}
	}
	if t.checksWrites() && t.snapshot != 0 {
		for _, key := range t.writes.keys {
			if _, read := t.reads.byKey[key]; !read {
				cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "<", t.snapshot+1))
			}
		}
	}
	return cmps
}
