package concurrency

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// conflictBackoff is the wait between two attempts of a transaction after a conflict. A conflict
// means that another client has changed one of the attempt's keys during the attempt.
var conflictBackoff = backoff.Policy{Base: 4 * time.Millisecond, Max: 500 * time.Millisecond,
	Jitter: 1}

// errStale ends an attempt that reads at a revision that has been compacted. Another attempt
// follows.
var errStale = errors.New("concurrency: the transaction's snapshot was compacted")

// transaction implements STM for one call of NewSTM, with all of its attempts. An attempt is one
// call of the program's function.
type transaction struct {
	// these fields keep their values in all attempts
	ctx   context.Context
	store clientv3.KV
	level Isolation

	// state of the current attempt
	reads  keyed[*mvccpb.KeyValue] // the keys that were read; nil for a key that does not exist
	writes keyed[write]
	// snapshot is the revision of all reads of the attempt, at the levels Serializable and
	// SerializableSnapshot. An attempt after a conflict begins with hintsRev. In any other attempt,
	// snapshot is 0 until the first read sets it. At the lower levels it is always 0.
	snapshot int64
	err      error // the error that has ended the attempt

	// hints is set after a conflict. It holds, by name, the keys that the last attempt has read, as
	// they are in the response to the commit that failed. hintsRev is the revision of the response.
	hints    map[string]*mvccpb.KeyValue
	hintsRev int64
}

// run attempts the transaction until it is applied, and returns the response. It returns an error
// if the transaction fails.
func (t *transaction) run(apply func(STM) error) (*clientv3.TxnResponse, error) {
	for n := 0; ; n++ {
		t.reset()
		err := t.attempt(apply)
		if err == nil {
			if resp := t.commit(); resp != nil {
				return resp, nil
			}
			err = t.err
		}
		if err != nil && !errors.Is(err, errStale) {
			return nil, err
		}
		if err := backoff.Wait(t.ctx, conflictBackoff.Delay(n)); err != nil {
			return nil, err
		}
	}
}

// attempt calls apply and returns its error, or the error of a read that has failed. It recovers
// only from the panic by which a failed read of this transaction ends apply. Any other panic goes
// on to the caller.
//
// If no read has failed, attempt does not call recover, so that the stack trace of a panic is
// complete.
func (t *transaction) attempt(apply func(STM) error) (err error) {
	defer func() {
		if t.err == nil {
			return
		}
		err = t.err
		if p := recover(); p != nil && p != any(t) {
			panic(p) //nolint:forbidigo // passes on a panic of the caller's function
		}
	}()
	return apply(t)
}

func (t *transaction) fail(err error) {
	t.err = err
	panic(t) //nolint:forbidigo // ends the caller's function; attempt recovers
}

func (t *transaction) reset() {
	t.reads, t.writes = keyed[*mvccpb.KeyValue]{}, keyed[write]{}
	t.err, t.snapshot = nil, 0
	if len(t.hints) > 0 && t.level <= Serializable {
		t.snapshot = t.hintsRev
	}
}

func (t *transaction) Get(keys ...string) string {
	for _, key := range keys {
		if w, ok := t.writes.byKey[key]; ok {
			return w.val
		}
	}
	if len(keys) == 0 {
		return ""
	}
	t.read(keys)
	return string(t.reads.byKey[keys[0]].GetValue())
}

func (t *transaction) Rev(key string) int64 {
	t.read([]string{key})
	return t.reads.byKey[key].GetModRevision()
}

func (t *transaction) Put(key, val string, opts ...clientv3.OpOption) {
	t.writes.set(key, write{clientv3.OpPut(key, val, opts...), val})
}

func (t *transaction) Del(key string) { t.writes.set(key, write{op: clientv3.OpDelete(key)}) }

// commit tries to apply the transaction and returns the response. After an error it returns nil and
// sets t.err. After a conflict it returns nil, and t.hints holds the current state of the keys that
// the attempt has read. The next attempt probably reads these keys again.
func (t *transaction) commit() *clientv3.TxnResponse {
	t.hints = nil
	var writes []clientv3.Op
	for _, key := range t.writes.keys {
		writes = append(writes, t.writes.byKey[key].op)
	}
	txn := t.store.Txn(t.ctx).If(t.conditions()...).Then(writes...)
	if t.level <= RepeatableReads {
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

func (t *transaction) conditions() []clientv3.Cmp {
	var cmps []clientv3.Cmp
	if t.level <= RepeatableReads {
		for _, key := range t.reads.keys {
			cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "=",
				t.reads.byKey[key].GetModRevision()))
		}
	}
	if t.level == SerializableSnapshot && t.snapshot != 0 {
		for _, key := range t.writes.keys {
			if _, read := t.reads.byKey[key]; !read {
				cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "<", t.snapshot+1))
			}
		}
	}
	return cmps
}

// write is the put or the delete of a key. It is sent when the transaction is applied.
type write struct {
	op  clientv3.Op
	val string // "" for a delete
}

// keyed is a map by key that also records the order in which the keys were added.
type keyed[V any] struct {
	keys  []string
	byKey map[string]V
}

func (m *keyed[V]) set(key string, v V) {
	if m.byKey == nil {
		m.byKey = map[string]V{}
	}
	if _, ok := m.byKey[key]; !ok {
		m.keys = append(m.keys, key)
	}
	m.byKey[key] = v
}

// read adds to t.reads those of the given keys that it does not have. Keys that are in t.hints are
// copied from there: after a conflict, these are the keys of the last attempt. All other keys are
// fetched in one request. If this request fails, read ends the attempt.
func (t *transaction) read(keys []string) {
	if t.err != nil { // an earlier read has failed, and apply has recovered its panic
		t.fail(t.err)
	}
	var unknown []string
	for _, key := range keys {
		if _, ok := t.reads.byKey[key]; ok || slices.Contains(unknown, key) {
			continue
		}
		if f, ok := t.hints[key]; ok {
			t.reads.set(key, f)
			continue
		}
		unknown = append(unknown, key)
	}
	if len(unknown) == 0 {
		return
	}
	byKey, err := t.fetch(unknown)
	if err != nil {
		t.fail(err)
	}
	for _, key := range unknown {
		t.reads.set(key, byKey[key])
	}
}

// fetch reads keys from the store and returns them. If t.snapshot is set, fetch reads at that
// revision, and otherwise at the newest revision. At the levels Serializable and
// SerializableSnapshot, the first read sets t.snapshot to its revision.
func (t *transaction) fetch(keys []string) (map[string]*mvccpb.KeyValue, error) {
	if t.snapshot == 0 {
		resp, err := t.get(keys)
		if err != nil {
			return nil, err
		}
		if t.level <= Serializable {
			t.snapshot = resp.Header.GetRevision()
		}
		return foundIn(keys, resp)
	}
	// A serializable read is answered by any member that has applied the revision of the snapshot.
	// A member that has not applied it returns ErrFutureRev. A linearizable read makes the member
	// catch up first.
	resp, err := t.get(keys, clientv3.WithRev(t.snapshot), clientv3.WithSerializable())
	if errors.Is(err, rpctypes.ErrFutureRev) {
		resp, err = t.get(keys, clientv3.WithRev(t.snapshot))
	}
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		t.hints = nil
		return nil, errStale
	case err != nil:
		return nil, err
	}
	return foundIn(keys, resp)
}

func (t *transaction) get(keys []string, opts ...clientv3.OpOption) (*clientv3.TxnResponse, error) {
	return t.store.Txn(t.ctx).Then(getOps(keys, opts...)...).Commit()
}

func getOps(keys []string, opts ...clientv3.OpOption) []clientv3.Op {
	ops := make([]clientv3.Op, len(keys))
	for i, key := range keys {
		ops[i] = clientv3.OpGet(key, opts...)
	}
	return ops
}

// foundIn returns, by key, the key-value pairs in resp, which is the response to the operations
// that getOps(keys) returned. The pair of a key that does not exist is nil.
func foundIn(keys []string, resp *clientv3.TxnResponse) (map[string]*mvccpb.KeyValue, error) {
	byKey := make(map[string]*mvccpb.KeyValue, len(keys))
	for i, key := range keys {
		kvs, err := txnanswer.Pairs(resp.Responses, i)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", key, err)
		}
		byKey[key] = nil
		if len(kvs) > 0 {
			byKey[key] = kvs[0]
		}
	}
	return byKey, nil
}
