package cache

import (
	"context"
	"fmt"
	"iter"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// maxTxnOps is how many conditions, or operations, etcd accepts in a transaction by default.
const maxTxnOps = 128

// Tx is one attempt of an Update. The function of the Update reads from a snapshot through it, and
// records writes in it. A Tx is valid until that function returns. Its methods must not be called
// concurrently.
type Tx struct {
	c    *Cache
	view *view
	// keys has the mod revision of each key that was read; 0 if the key did not exist.
	keys   map[string]int64
	spans  map[interval]int  // how many times each range was read
	writes map[string]*write // the last write of each key
	order  []string          // the keys of writes, in the order of their first write
	err    error             // the first error of a method of the Tx
}

// interval is a range of keys that was read. Its field end is never empty.
type interval struct{ from, end string }

// write is the last write of a key. The field put is nil if the key is to be deleted.
type write struct{ put *pb.PutRequest }

func newTx(c *Cache, v *view) *Tx {
	return &Tx{c: c, view: v, keys: map[string]int64{}, spans: map[interval]int{},
		writes: map[string]*write{}}
}

// Get returns the key-value pair of a key, and whether the key exists. If the Tx has written the
// key, Get returns what was written, without revisions. If the key is outside of the cache's range,
// the Update fails with an error.
//
// The commit depends on the key: if another client changes, creates or deletes it before the
// commit, the Update runs its function again.
func (tx *Tx) Get(key string) (*mvccpb.KeyValue, bool) {
	if w := tx.writes[key]; w != nil {
		return tx.written(key, w)
	}
	kv := tx.read(key)
	return kv, kv != nil
}

// read returns the pair of a key in the snapshot, or nil if the key does not exist there. From then
// on the commit fails if the key was changed since the snapshot.
func (tx *Tx) read(key string) *mvccpb.KeyValue {
	if !tx.c.opts.contains(key) {
		tx.fail(fmt.Errorf("cache of %s: Get(%q) is outside of it", &tx.c.opts, key))
		return nil
	}
	kv := tx.view.tree.Get(key)
	tx.keys[key] = kv.GetModRevision()
	return kv
}

// written returns what a key is after the recorded write w: its pair, and whether the key exists.
// If w is a put that keeps the key's old value or lease, written reads the key.
func (tx *Tx) written(key string, w *write) (*mvccpb.KeyValue, bool) {
	if w.put == nil {
		return nil, false
	}
	kv := &mvccpb.KeyValue{Key: []byte(key), Value: w.put.Value, Lease: w.put.Lease}
	if w.put.IgnoreValue || w.put.IgnoreLease {
		old := tx.read(key)
		if w.put.IgnoreValue {
			kv.Value = old.GetValue()
		}
		if w.put.IgnoreLease {
			kv.Lease = old.GetLease()
		}
	}
	return kv, true
}

// Range returns the key-value pairs with a key k such that from <= k < to, in key order. If to is
// "\x00", there is no upper end. The pairs include what the Tx has written before the iteration
// begins. If the range is not within the cache's range, the Update fails with an error.
//
// The commit depends on the range as far as the iteration went. If another client changes, creates
// or deletes a key there before the commit, the Update runs its function again. For
// ErrTooManyReads, each key counts as one read, and the range as another.
func (tx *Tx) Range(from, to string) iter.Seq[*mvccpb.KeyValue] {
	return func(yield func(*mvccpb.KeyValue) bool) {
		from := max(from, "\x00")
		if to != "\x00" && to <= from {
			return
		}
		if !tx.c.opts.covers(from, to) {
			tx.fail(fmt.Errorf("cache of %s: Range(%q, %q) is not within it", &tx.c.opts, from, to))
			return
		}
		whole := interval{from, to}
		// The range is recorded before the loop, because a panic in the loop's body would skip the
		// code after it.
		tx.spans[whole]++
		for key, kv := range tx.merged(from, to) {
			if kv != nil && !yield(kv) {
				tx.shorten(whole, key)
				return
			}
		}
	}
}

// shorten records that the last iteration over the range s has ended early, at the given key, so
// that the commit depends only on the part of the range up to that key.
func (tx *Tx) shorten(s interval, key string) {
	if tx.spans[s]--; tx.spans[s] == 0 {
		delete(tx.spans, s)
	}
	tx.spans[interval{s.from, key + "\x00"}]++
}

// merged returns the keys of a range in order, with their pairs: the keys of the snapshot, and the
// keys that the Tx has written. The pair of a key that the Tx has deleted is nil. The commit
// depends on each key of the snapshot that the iteration reaches.
func (tx *Tx) merged(from, to string) iter.Seq2[string, *mvccpb.KeyValue] {
	own := tx.writtenIn(from, to)
	return func(yield func(string, *mvccpb.KeyValue) bool) {
		yieldOwn := func() bool {
			key := own[0]
			own = own[1:]
			kv, _ := tx.written(key, tx.writes[key])
			return yield(key, kv)
		}
		for kv := range tx.view.tree.Range(from, to) {
			key := keytree.Key(kv.Key)
			for len(own) > 0 && own[0] < key {
				if !yieldOwn() {
					return
				}
			}
			tx.keys[key] = kv.ModRevision
			overwritten := len(own) > 0 && own[0] == key
			if overwritten && !yieldOwn() || !overwritten && !yield(key, kv) {
				return
			}
		}
		for len(own) > 0 {
			if !yieldOwn() {
				return
			}
		}
	}
}

// writtenIn returns, in ascending order, the keys of a range that the Tx has written or deleted.
func (tx *Tx) writtenIn(from, to string) []string {
	var keys []string
	for key := range tx.writes {
		if key >= from && (to == "\x00" || key < to) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Put sets a key to a value when the Update commits. The key may also be outside of the cache's
// range. If a key is written more than once, only the last write counts. opts are the options of
// clientv3.OpPut; Put panics for options for which OpPut panics.
func (tx *Tx) Put(key, value string, opts ...clientv3.OpOption) {
	put := &pb.PutRequest{Key: []byte(key), Value: []byte(value)}
	if len(opts) > 0 {
		put = putRequest(tx.c.ctx, clientv3.OpPut(key, value, opts...))
	}
	if before := tx.writes[key]; before != nil && (put.IgnoreValue || put.IgnoreLease) {
		if before.put == nil {
			tx.fail(fmt.Errorf(
				"cache: Put(%q) keeps the value or lease of a key that was deleted: %w",
				key, rpctypes.ErrKeyNotFound))
			return
		}
		if put.IgnoreValue {
			put.Value, put.IgnoreValue = before.put.Value, before.put.IgnoreValue
		}
		if put.IgnoreLease {
			put.Lease, put.IgnoreLease = before.put.Lease, before.put.IgnoreLease
		}
	}
	tx.write(key, &write{put: put})
}

// Delete deletes a key, if it exists, when the Update commits.
func (tx *Tx) Delete(key string) { tx.write(key, &write{}) }

func (tx *Tx) write(key string, w *write) {
	if tx.writes[key] == nil {
		tx.order = append(tx.order, key)
	}
	tx.writes[key] = w
}

// fail makes the Update fail with err. If the Tx already has an error, the first error stays.
func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// conditions returns the conditions of the transaction. They hold as long as everything that was
// read is unchanged. If there would be more than maxTxnOps conditions, it returns ErrTooManyReads.
func (tx *Tx) conditions() ([]clientv3.Cmp, error) {
	if n := len(tx.spans) + len(tx.keys); n > maxTxnOps {
		return nil, fmt.Errorf("%w: %d keys and %d ranges were read, %d conditions are allowed",
			ErrTooManyReads, len(tx.keys), len(tx.spans), maxTxnOps)
	}
	var cmps []clientv3.Cmp
	for s := range tx.spans {
		cmps = append(cmps, clientv3.Compare(
			clientv3.ModRevision(s.from).WithRange(s.end), "<", tx.view.revision+1))
	}
	for key, rev := range tx.keys {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "=", rev))
	}
	return cmps, nil
}

// compares returns the conditions of the transaction in the form that package evaluate takes.
func (tx *Tx) compares() []*pb.Compare {
	var cmps []*pb.Compare
	for s := range tx.spans {
		cmps = append(cmps, &pb.Compare{Key: []byte(s.from), RangeEnd: []byte(s.end),
			Target: pb.Compare_MOD, Result: pb.Compare_LESS,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: tx.view.revision + 1}})
	}
	for key, rev := range tx.keys {
		cmps = append(cmps, &pb.Compare{Key: []byte(key),
			Target: pb.Compare_MOD, Result: pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: rev}})
	}
	return cmps
}

// ops returns the writes in the order in which their keys were first written. If shows is true, one
// of them is a put in the range of the cache, so the cache sees an event of the commit.
func (tx *Tx) ops() (ops []clientv3.Op, shows bool) {
	for _, key := range tx.order {
		put := tx.writes[key].put
		if put == nil {
			ops = append(ops, clientv3.OpDelete(key))
			continue
		}
		shows = shows || tx.c.opts.contains(key)
		var opts []clientv3.OpOption
		if put.Lease != 0 {
			opts = append(opts, clientv3.WithLease(clientv3.LeaseID(put.Lease)))
		}
		if put.IgnoreValue {
			opts = append(opts, clientv3.WithIgnoreValue())
		}
		if put.IgnoreLease {
			opts = append(opts, clientv3.WithIgnoreLease())
		}
		ops = append(ops, clientv3.OpPut(key, string(put.Value), opts...))
	}
	return ops, shows
}

// putRequest returns the request that clientv3 sends for a put. Not every option of a put can be
// read from its Op. So putRequest executes the Op on a KVClient that only keeps the request.
func putRequest(ctx context.Context, op clientv3.Op) *pb.PutRequest {
	var k putKeeper
	_, _ = clientv3.NewKVFromKVClient(&k, nil).Do(ctx, op)
	return k.put
}

// putKeeper is a pb.KVClient that keeps the request of a put and sends nothing. Only its Put method
// may be called.
type putKeeper struct {
	pb.KVClient
	put *pb.PutRequest
}

// Put implements pb.KVClient.
func (k *putKeeper) Put(
	_ context.Context, req *pb.PutRequest, _ ...grpc.CallOption,
) (*pb.PutResponse, error) {
	k.put = req
	return &pb.PutResponse{}, nil
}
