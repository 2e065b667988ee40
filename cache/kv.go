package cache

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// KV returns a KV that answers reads from memory if the cache has the data. So existing code can
// use the cache. Everything else goes to the server, through the KV that the client embeds, with
// the caller's context and options:
//
//   - writes, and transactions that write
//   - reads of keys outside of the cache's range
//   - reads of values, if the cache has keys only
//   - reads of past revisions that the history no longer has
//
// Get with any options, GetStream, and transactions that only read return what a server would
// return. Each is answered from one snapshot, whose revision is in the header. A past revision is
// answered as long as the history has it, even after the server has compacted it.
//
// As on a server, answers are linearizable unless WithSerializable is given. For a linearizable
// answer, the method waits as Fresh(ctx, 0) does, and all readers of the client share the requests
// that this costs. A read with WithSerializable waits only until the cache shows the earlier writes
// that were made through this KV.
//
// Until the range has been read for the first time, reads wait. If ctx ends first, they return the
// error of ctx. If the cache ends, they return the error that the cache has ended with. The caller
// may change an answer, but not the bytes of its keys and values, which are shared.
func (c *Cache) KV() clientv3.KV {
	return &kv{c: c, memory: clientv3.NewKVFromKVClient(memory{c}, c.client), remote: c.client.KV}
}

// kv is the clientv3.KV that Cache.KV returns.
type kv struct {
	c      *Cache
	memory clientv3.KV // answers from the cache, or sets call.passed if the server must answer
	remote clientv3.KV

	// guarded by mu
	mu    sync.Mutex
	floor floor
}

// floor says how new a view must be to contain all earlier writes through a KV. Only such a view
// may answer a read through the KV with WithSerializable. The era of a view counts how often the
// copy was replaced, as after a restore of the cluster. These views are new enough:
//
//   - a view of a later era than the floor's
//   - a view of the floor's era, if it has at least the floor's revision, and contains every write
//     acknowledged before the time in the field at
type floor struct {
	era, revision int64
	at            time.Time
}

// shownBy reports whether the view v is as new as the floor f demands. Such a view shows all
// earlier writes through the KV.
func (f floor) shownBy(v *view) bool {
	return v.synced() && (v.era > f.era ||
		v.era == f.era && v.revision >= f.revision && !v.provenAt.Before(f.at))
}

// raise adds the demands of the floor n to those of f. A floor says how new a view must be. If n is
// of a later era (the copy was replaced since), n replaces f. If n is of an earlier era, f is not
// changed.
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

// call returns a context for one call of k.memory, and the call record that the context carries.
func (k *kv) call(ctx context.Context) (context.Context, *call) {
	call := &call{floor: k.least()}
	return context.WithValue(ctx, callKey{}, call), call
}

// least returns the floor, which says how new a view must be to show all earlier writes through
// this KV.
func (k *kv) least() floor {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.floor
}

// wrote raises the floor after a successful write. The floor says how new a view must be to answer
// later reads with WithSerializable. wrote takes the view that was the newest one when the write
// was sent, and the header of the answer.
//
// Normally, later reads need a view that has at least the revision of the answer. But the copy may
// have been replaced, because the cluster was replaced or restored. Then that revision says nothing
// about the next copy. So later reads need a view of the next copy that contains every write
// acknowledged before now.
func (k *kv) wrote(before *view, header *pb.ResponseHeader) {
	if header.GetRevision() == 0 {
		return
	}
	n := floor{era: before.era, revision: header.GetRevision()}
	if !k.c.sameEra(header, before) {
		n = floor{era: max(before.era+1, k.c.now().era), at: time.Now()}
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
	// The option functions run only here, and only once: Do takes the finished Op, and may pass it
	// first to memory and then to the server.
	resp, err := k.Do(ctx, clientv3.OpGet(key, opts...))
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
	// The method wrote must get the answers to writes only. The answer to a serializable read may
	// have an old revision, which wrote would take for a sign that the cluster was restored.
	if err == nil && !reads {
		k.wrote(before, writeHeader(resp))
	}
	return resp, err
}

// writes reports whether a transaction has any operation other than gets.
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

// writeHeader returns the header of the answer to a write. For the answer to a get it returns nil.
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
	whole := func(o *clientv3.Op) { *o = op } // replaces the Op, so that no option runs again
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

// prepare finds the state that a GetStream is answered from, and stores it in the parameter call,
// where memory.RangeStream finds the state. prepare returns false if the server has to answer.
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

// contextError returns the plain error of ctx if ctx has ended, because a KV must return that
// error. Otherwise it returns err.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// viewFor returns the view that answers a read. A linearizable read gets a view that contains every
// write acknowledged before the call of viewFor. A serializable read gets a view that shows the
// earlier writes through the KV. viewFor waits for such a view if the newest one is too old.
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
	// If the cluster was replaced or restored, only a view of the new copy can answer. Wait for
	// such a view first. Requests for watch progress would not make it come sooner.
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

// txn collects a transaction for both KVs, the one that answers from memory and the one of the
// client, because only Commit knows which of them can answer. Its methods must not be called
// concurrently.
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
