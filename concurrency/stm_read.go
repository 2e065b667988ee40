package concurrency

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// found is what the store had for a key.
type found struct {
	kv *mvccpb.KeyValue // nil: no such key
}

// rev returns the revision of the last modification, or 0 for no key.
func (f found) rev() int64 { return f.kv.GetModRevision() }

// readSet is what an attempt has read, in order.
type readSet struct {
	keys  []string
	byKey map[string]found
}

func (r *readSet) add(key string, f found) {
	if r.byKey == nil {
		r.byKey = make(map[string]found)
	}
	r.keys = append(r.keys, key)
	r.byKey[key] = f
}

// writeSet is what an attempt is going to write, in the order in which keys were
// first written.
type writeSet struct {
	keys   []string
	ops    []clientv3.Op // parallel to keys
	values []string
	index  map[string]int
}

func (w *writeSet) add(key, val string, op clientv3.Op) {
	if i, ok := w.index[key]; ok {
		w.ops[i], w.values[i] = op, val
		return
	}
	if w.index == nil {
		w.index = make(map[string]int)
	}
	w.index[key] = len(w.keys)
	w.keys, w.ops, w.values = append(w.keys, key), append(w.ops, op), append(w.values, val)
}

// value returns what is going to be written to a key, if anything.
func (w *writeSet) value(key string) (string, bool) {
	i, ok := w.index[key]
	if !ok {
		return "", false
	}
	return w.values[i], true
}

// read makes keys part of the read set. Keys that are not known yet cost one request together.
func (t *transaction) read(keys []string) {
	if t.err != nil { // apply has recovered from the panic below
		t.fail(t.err)
	}
	var unknown []string
	asked := map[string]bool{}
	for _, key := range keys {
		if _, ok := t.reads.byKey[key]; ok || asked[key] {
			continue
		}
		if f, ok := t.hints[key]; ok {
			t.reads.add(key, f)
			continue
		}
		asked[key] = true
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
		t.reads.add(key, byKey[key])
	}
}

// fetch reads keys from the store: as they are, or at the revision of the
// attempt's first read.
func (t *transaction) fetch(keys []string) (map[string]found, error) {
	if t.snapshot == 0 {
		resp, err := t.get(keys)
		if err != nil {
			return nil, err
		}
		if t.oneSnapshot() {
			t.snapshot = resp.Header.GetRevision()
		}
		return foundIn(keys, resp)
	}
	// Any member that has the snapshot's revision can answer. A member that does not have it yet
	// catches up because of a linearizable read.
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

// foundIn returns the answers to getOps(keys) in a response.
func foundIn(keys []string, resp *clientv3.TxnResponse) (map[string]found, error) {
	byKey := make(map[string]found, len(keys))
	for i, key := range keys {
		kvs, err := txnanswer.Pairs(resp.Responses, i)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", key, err)
		}
		f := found{}
		if len(kvs) > 0 {
			f.kv = kvs[0]
		}
		byKey[key] = f
	}
	return byKey, nil
}
