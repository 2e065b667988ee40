package cache

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// KV returns a KV that answers from memory what the cache has, so that existing code reads from it.
// Everything else goes to the server through the KV that the client embeds, with the caller's
// context and options: writes, keys outside of the cache's range, values if the cache has keys
// only, past revisions beyond its history, and transactions that write.
//
// Gets of all options, GetStream, and transactions that only read are answered as by a server, each
// from one snapshot, with its revision in the header. Like a server's, the answers are linearizable
// unless WithSerializable is given: the method waits as Fresh(ctx, 0) does, and all readers of the
// client share the questions. A read with WithSerializable does not wait, except for writes that
// were made by this KV before: a KV sees its own writes. A past revision is answered as long as the
// history has it, also after the server has compacted it.
//
// Before the range was read, reads wait within their context. They return the error of the context,
// or the one that the cache has ended with. An answer is the caller's own, except for the bytes of
// keys and values, which must not be changed.
func (c *Cache) KV() clientv3.KV {
	return &kv{c: c, memory: clientv3.NewKVFromKVClient(memory{c}, c.client), remote: c.client.KV}
}

// kv is the KV of a cache.
type kv struct {
	c      *Cache
	memory clientv3.KV // answers from the cache, or marks a call as one that the server must answer
	remote clientv3.KV

	// guarded by mu
	mu    sync.Mutex
	floor floor
}

// floor says what later reads of a KV must show, because the KV has written it. A view shows it if
// it is of the same era, has reached the revision, and is proven until the moment at; or if it is
// of a later era.
type floor struct {
	era, revision int64
	at            time.Time
}

// shownBy reports whether a view shows everything that the floor demands.
func (f floor) shownBy(v *view) bool {
	return v.synced() && (v.era > f.era ||
		v.era == f.era && v.revision >= f.revision && !v.provenAt.Before(f.at))
}

// raise makes f demand everything that n demands.
func (f *floor) raise(n floor) {
	if n.era > f.era {
		*f = n
	} else if n.era == f.era {
		f.revision = max(f.revision, n.revision)
		if n.at.After(f.at) {
			f.at = n.at
		}
	}
}

// call returns a context that carries a new call to memory, and that call.
func (k *kv) call(ctx context.Context) (context.Context, *call) {
	call := &call{floor: k.least()}
	return context.WithValue(ctx, callKey{}, call), call
}

// least returns what reads must show now.
func (k *kv) least() floor {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.floor
}

// wrote raises the floor after a write that has succeeded. before is the newest view of the moment
// when the write was sent, and header that of its answer. If the era of before has ended, or ends
// with this answer, the write may belong to it or to the next one. Its revision then says nothing,
// and only a question shows when a copy of the next era has the write.
func (k *kv) wrote(before *view, header *pb.ResponseHeader) {
	if header.GetRevision() == 0 {
		return
	}
	n := floor{era: before.era, revision: header.GetRevision()}
	if !k.c.sameEra(header, before) {
		n = floor{era: before.era + 1, at: time.Now()}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.floor.raise(n)
}

func (k *kv) Put(
	ctx context.Context, key, val string, opts ...clientv3.OpOption,
) (*clientv3.PutResponse, error) {
	before := k.c.now()
	resp, err := k.remote.Put(ctx, key, val, opts...)
	if err == nil {
		k.wrote(before, resp.Header)
	}
	return resp, err
}

func (k *kv) Delete(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.DeleteResponse, error) {
	before := k.c.now()
	resp, err := k.remote.Delete(ctx, key, opts...)
	if err == nil {
		k.wrote(before, resp.Header)
	}
	return resp, err
}

func (k *kv) Compact(
	ctx context.Context, rev int64, opts ...clientv3.CompactOption,
) (*clientv3.CompactResponse, error) {
	return k.remote.Compact(ctx, rev, opts...)
}

func (k *kv) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	resp, err := k.Do(ctx, clientv3.OpGet(key, opts...)) // runs each option once
	return resp.Get(), err
}

func (k *kv) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	reads := op.IsGet() || op.IsTxn() && !writes(op)
	if reads {
		ctx, call := k.call(ctx)
		if resp, err := k.memory.Do(ctx, op); !call.passed {
			return resp, err
		}
	}
	before := k.c.now()
	resp, err := k.remote.Do(ctx, op)
	if err == nil && !reads { // a read may be answered in the past
		k.wrote(before, writeHeader(resp))
	}
	return resp, err
}

// writes reports whether a transaction has other operations than gets.
func writes(op clientv3.Op) bool {
	_, thenOps, elseOps := op.Txn()
	return !onlyGets(thenOps) || !onlyGets(elseOps)
}

func onlyGets(ops []clientv3.Op) bool {
	for _, op := range ops {
		if !op.IsGet() {
			return false
		}
	}
	return true
}

// writeHeader returns the header of the answer to a write; nil for a get.
func writeHeader(resp clientv3.OpResponse) *pb.ResponseHeader {
	switch {
	case resp.Put() != nil:
		return resp.Put().Header
	case resp.Del() != nil:
		return resp.Del().Header
	case resp.Txn() != nil:
		return resp.Txn().Header
	}
	return nil
}

func (k *kv) GetStream(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	op := clientv3.OpGet(key, opts...)
	whole := func(o *clientv3.Op) { *o = op } // runs each option once
	memoryCtx, call := k.call(ctx)
	ok, err := k.c.prepare(memoryCtx, op, call)
	switch {
	case err != nil:
		return nil, err
	case ok:
		return k.memory.GetStream(memoryCtx, key, whole)
	}
	return k.remote.GetStream(ctx, key, whole)
}

// prepare finds the state that a GetStream is answered from, and puts it into the call. It returns
// false if the server has to answer.
func (c *Cache) prepare(ctx context.Context, op clientv3.Op, call *call) (bool, error) {
	values := !op.IsCountOnly() && (!op.IsKeysOnly() || op.IsSortSet())
	if !op.IsSortOptionValid() || values && c.opts.keysOnly ||
		!c.opts.covers(string(op.KeyBytes()), string(op.RangeBytes())) {
		return false, nil
	}
	v, err := c.viewFor(ctx, op.IsSerializable())
	if err != nil {
		return false, contextError(ctx, err)
	}
	keys, ok := c.keysAt(v, op.Rev())
	call.view, call.keys = v, keys
	return ok, nil
}

// contextError returns the error of ctx itself if it has ended, as a KV does, and otherwise err.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// viewFor returns the view that answers a read. For a linearizable read, it is one that a question
// has proven which was sent after viewFor was called. For a serializable read, it is any view that
// shows the earlier writes of the KV.
func (c *Cache) viewFor(ctx context.Context, serializable bool) (*view, error) {
	if !serializable {
		return c.provenSince(ctx, time.Now())
	}
	var least floor
	if call, ok := ctx.Value(callKey{}).(*call); ok {
		least = call.floor
	}
	if v := c.now(); v.err == nil && least.shownBy(v) {
		return v, nil
	}
	// First the era of the floor must begin: no request for progress takes an earlier one to it.
	v, err := c.await(ctx, func(v *view) bool { return v.era >= least.era })
	if err == nil && v.provenAt.Before(least.at) {
		v, err = c.provenSince(ctx, least.at)
	}
	if err != nil {
		return v, err
	}
	c.waitFor(1)
	defer c.waitFor(-1)
	c.reach(least.revision)
	return c.await(ctx, least.shownBy)
}

func (k *kv) Txn(ctx context.Context) clientv3.Txn {
	ctxMemory, call := k.call(ctx)
	return &txn{k: k, call: call, memory: k.memory.Txn(ctxMemory), remote: k.remote.Txn(ctx)}
}

// txn collects a transaction for both KVs. Its methods may be called one after another only.
type txn struct {
	k      *kv
	call   *call
	memory clientv3.Txn
	remote clientv3.Txn
	writes bool
}

func (t *txn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.memory.If(cs...)
	t.remote.If(cs...)
	return t
}

func (t *txn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.writes = t.writes || !onlyGets(ops)
	t.memory.Then(ops...)
	t.remote.Then(ops...)
	return t
}

func (t *txn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.writes = t.writes || !onlyGets(ops)
	t.memory.Else(ops...)
	t.remote.Else(ops...)
	return t
}

func (t *txn) Commit() (*clientv3.TxnResponse, error) {
	if !t.writes {
		t.call.floor = t.k.least()
		if resp, err := t.memory.Commit(); !t.call.passed {
			return resp, err
		}
	}
	before := t.k.c.now()
	resp, err := t.remote.Commit()
	if err == nil && t.writes {
		t.k.wrote(before, resp.Header)
	}
	return resp, err
}
