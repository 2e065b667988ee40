package leasing

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
	"go.etcd.io/etcd/client/v3/internal/txnbuilder"
)

// leasingKV is the KV that NewKV returns.
type leasingKV struct {
	// read-only after NewKV
	kv        clientv3.KV // the client's KV as it was when NewKV was called
	leaseKeys leasePrefix
	cache     *cache
	owner     *owner
	writer    *writer
	sessions  *sessions
}

// NewKV returns a KV that answers linearizable gets of single keys from a cache. A Get takes
// ownership of the key: the KV caches the key until another client wants to write it. All clients
// that write these keys must use the same prefix pfx for their lease keys. The prefix must not be
// empty; see the package documentation. The KV uses cl's KV, Watcher and Lease as they are when
// NewKV is called.
//
// NewKV makes a session with opts. It blocks until the session's lease is granted and renewed once,
// or the context of concurrency.WithContext ends. Its errors are those of concurrency.NewSession,
// those of clientv3.Lease's KeepAliveOnce, and concurrency.ErrSessionExpired if the lease is lost
// meanwhile. After an error NewKV revokes the lease that it was granted, and waits up to 5 seconds
// for that. If the context has ended, it leaves the lease to expire.
//
// When the session expires, the KV makes a new one. Until the new session is made, the server
// answers all gets. If this client vanishes, other clients that write its keys wait until the TTL
// has passed, so choose a TTL of a few seconds to a minute. A lease that is given by
// concurrency.WithLease must serve no other KV with this prefix.
//
// Call the returned function when the KV is not used any more. It releases all keys by revoking the
// session's lease, and returns when all goroutines of the KV have ended. If no member answers, the
// function takes 5 seconds, or the TTL if that is less, and leaves the lease to expire. After the
// function was called, and after the end of the context in opts, the KV still works, without a
// cache.
//
// Reads. The cache answers a Get of a single key's latest value, also with the options
// WithKeysOnly, WithCountOnly, WithSerializable, and bounds on the key's revisions. A Get that is
// WithSerializable does not take ownership. The response is a copy. Its Header.Revision is the
// highest revision at which the key is known to be unchanged. So a watch of the key from the next
// revision on misses no write.
//
// The cache also answers a transaction if its conditions are on cached keys, and the branch that
// the conditions choose has only gets that the cache can answer. No transaction takes ownership.
// The server answers gets of ranges, gets at an older revision, GetStream, and other transactions.
// After another client has asked for a key or was found to own it, the server answers all reads of
// the key for about a second. If clients keep asking, it does so for up to five seconds.
//
// Writes. Put, Delete, and transactions that write are sent as transactions with an additional
// condition: no other client owns a key that they may write. Otherwise the owner is asked to
// release the key. The call then blocks until the key is released, the owner's lease has expired,
// or ctx ends. After an error the outcome is unknown in the same cases as after a write by a
// client's own KV. A write of a key that begins with pfx is refused before it is sent. A Get of
// such a key goes to the server.
//
// The server's --max-txn-ops limits the sum of two numbers:
//
//   - how many keys and ranges a transaction may write, in its two branches together
//   - the length of the longest of three lists: the conditions, the operations of Then, and the
//     operations of Else
//
// With the default of 128, a transaction can have 64 puts.
//
// Each cached key costs the memory for the key and its value, a watch and a goroutine. The number
// of cached keys has no limit, and no key is evicted to save memory.
func NewKV(
	cl *clientv3.Client, pfx string, opts ...concurrency.SessionOption,
) (clientv3.KV, func(), error) {
	if pfx == "" {
		return nil, nil, errors.New("leasing: the prefix of the lease keys is empty")
	}
	leaseKeys := leasePrefix(pfx)
	l := &leasingKV{kv: cl.KV, leaseKeys: leaseKeys, cache: newCache(leaseKeys),
		sessions: newSessions(cl, opts)}
	l.owner = &owner{kv: cl.KV, watcher: cl.Watcher, leases: cl.Lease, leaseKeys: leaseKeys,
		cache: l.cache}
	l.writer = &writer{l.owner}
	first, err := l.sessions.open()
	if err != nil {
		l.sessions.discard(first)
		l.stop()
		return nil, nil, err
	}
	l.cache.startEpoch(first.epoch)
	// The goroutine ends after the end of the sessions' context, when it has closed the last
	// session. leasingKV.stop waits for it.
	l.sessions.running.Go(func() { l.sessions.serve(first, l.owner) })
	return l, l.stop, nil
}

// stop ends all goroutines of the KV, and returns when they have ended. The cache stops answering
// before the lease is revoked. As soon as the server has deleted the lease keys with the lease,
// other clients can write the cached keys.
func (l *leasingKV) stop() {
	l.cache.endEpoch()
	l.sessions.stop(&l.cache.running)
}

func (l *leasingKV) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	if len(opts) == 0 && ctx.Err() == nil { // this path makes no Op, to save the Op's allocations
		if resp, _ := l.cache.get(key, nil); resp != nil {
			return resp, nil
		}
	}
	return l.get(ctx, clientv3.OpGet(key, opts...))
}

func (l *leasingKV) GetStream(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	return l.kv.GetStream(ctx, key, opts...)
}

func (l *leasingKV) Put(
	ctx context.Context, key, val string, opts ...clientv3.OpOption,
) (*clientv3.PutResponse, error) {
	resp, err := l.write(ctx, clientv3.OpPut(key, val, opts...))
	return resp.Put(), err
}

func (l *leasingKV) Delete(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.DeleteResponse, error) {
	resp, err := l.write(ctx, clientv3.OpDelete(key, opts...))
	return resp.Del(), err
}

func (l *leasingKV) Compact(
	ctx context.Context, rev int64, opts ...clientv3.CompactOption,
) (*clientv3.CompactResponse, error) {
	return l.kv.Compact(ctx, rev, opts...)
}

func (l *leasingKV) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	switch {
	case op.IsGet():
		resp, err := l.get(ctx, op)
		return resp.OpResponse(), err
	case op.IsPut(), op.IsDelete():
		return l.write(ctx, op)
	case op.IsTxn():
		resp, err := l.txn(ctx, op)
		return resp.OpResponse(), err
	default:
		return l.kv.Do(ctx, op) // the Op is of no known kind; the client's KV returns the error
	}
}

// get answers a get from the cache, if the key is cached. Otherwise it acquires the key, if that is
// possible, and answers from the response to the request that acquires the key. In all other cases
// the server answers the get.
func (l *leasingKV) get(ctx context.Context, op clientv3.Op) (*clientv3.GetResponse, error) {
	if !l.leaseKeys.isCacheable(&op) || ctx.Err() != nil {
		return l.getFromServer(ctx, op)
	}
	key := string(op.KeyBytes())
	resp, pending := l.cache.get(key, &op)
	switch {
	case resp != nil:
		return resp, nil
	case pending != nil:
		// Another call is acquiring the key by a request. The response may be too old for this
		// call, because the request may have been sent before this call began. But when the request
		// has ended, the cache may have the key, and a cached key is never stale.
		if err := wait(ctx, pending.settled); err != nil {
			return nil, err
		}
		if resp, _ = l.cache.get(key, &op); resp != nil {
			return resp, nil
		}
	case !op.IsSerializable():
		o, err := l.owner.acquire(ctx, key)
		if err != nil {
			return nil, err
		}
		if o != nil && o.read != nil {
			return o.read.response(l.cache.latest.Load(), o.read.rev, &op), nil
		}
	}
	return l.getFromServer(ctx, op)
}

func (l *leasingKV) getFromServer(
	ctx context.Context, op clientv3.Op,
) (*clientv3.GetResponse, error) {
	resp, err := l.kv.Do(ctx, op)
	if err != nil {
		return nil, err
	}
	l.cache.latest.saw(resp.Get().Header)
	return resp.Get(), nil
}

func (l *leasingKV) write(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	if err := l.leaseKeys.refusal(op); err != nil {
		return clientv3.OpResponse{}, err
	}
	resp, err := l.writer.write(ctx, op, writesOf(l.leaseKeys, op))
	if err != nil {
		return clientv3.OpResponse{}, err
	}
	if op.IsPut() {
		put, err := txnanswer.Put(resp.Responses, 0)
		if err == nil {
			put.Header = resp.Header
		}
		return (*clientv3.PutResponse)(put).OpResponse(), err
	}
	del, err := txnanswer.Delete(resp.Responses, 0)
	if err == nil {
		del.Header = resp.Header
	}
	return (*clientv3.DeleteResponse)(del).OpResponse(), err
}

func (l *leasingKV) txn(ctx context.Context, op clientv3.Op) (*clientv3.TxnResponse, error) {
	if err := l.leaseKeys.refusal(op); err != nil {
		return nil, err
	}
	if ctx.Err() == nil {
		if resp := l.cache.txn(op); resp != nil {
			return resp, nil
		}
	}
	w := writesOf(l.leaseKeys, op)
	if w.isEmpty() {
		resp, err := l.kv.Do(ctx, op)
		return resp.Txn(), err
	}
	resp, err := l.writer.write(ctx, op, w)
	if err != nil {
		return nil, err
	}
	txn, err := txnanswer.Txn(resp.Responses, 0)
	if err == nil {
		txn.Header = resp.Header
	}
	return (*clientv3.TxnResponse)(txn), err
}

// txn is a transaction of a leasingKV.
type txn struct {
	txnbuilder.Builder[clientv3.Cmp, clientv3.Op, clientv3.Txn]

	// read-only after the method Txn of leasingKV has returned
	kv  *leasingKV
	ctx context.Context
}

func (l *leasingKV) Txn(ctx context.Context) clientv3.Txn {
	t := &txn{kv: l, ctx: ctx}
	t.Start(l.kv.Txn(ctx), t)
	return t
}

func (t *txn) Commit() (*clientv3.TxnResponse, error) {
	parts := t.Parts()
	return t.kv.txn(t.ctx, clientv3.OpTxn(parts.Cmps, parts.Then, parts.Else))
}
