package leasing

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// leasing is a KV that serves reads from memory.
type leasing struct {
	// read-only after NewKV
	kv       clientv3.KV // what the client had when NewKV was called
	watcher  clientv3.Watcher
	sessions *clientv3.Client // what sessions are made with
	grants   *grants          // their Lease
	options  []concurrency.SessionOption
	prefix   string
	ctx      context.Context // ends with stop and with the client
	cancel   context.CancelFunc

	// own synchronisation
	table   *table
	running sync.WaitGroup // run
}

// NewKV returns a KV that serves linearizable reads of single keys from memory, once
// it has read them, and for as long as no other client writes them. All clients that
// write these keys must use the same prefix pfx, which must not be empty; see the
// package's documentation. The KV uses cl's KV, Watcher and Lease, as they are when
// NewKV is called.
//
// NewKV makes a session with opts, and blocks until its lease was granted and renewed
// once, or the context of concurrency.WithContext ends. It returns the errors of
// concurrency.NewSession, those of clientv3.Lease's KeepAliveOnce, and
// concurrency.ErrSessionExpired where the lease is lost meanwhile. After an error it
// revokes the lease that it was granted, which takes 5 seconds where no member answers,
// or leaves it to expire where that context has ended. Later sessions replace one that
// expires; meanwhile all is read from the server. The TTL is how long writers of other
// clients have to wait where this one vanishes, so choose one of a few seconds to a
// minute. A lease of concurrency.WithLease must serve no other KV with this prefix.
//
// The function that is returned is to be called when the KV is no longer used. It
// gives up all keys by revoking the session's lease, and returns when nothing is
// left running. Where no member answers that takes 5 seconds, or the TTL if that is
// less, and the lease is left to expire. The KV still works after that, and after
// the end of the context in opts, without keeping anything in memory.
//
// Reads. A Get of a single key's latest value is answered from memory, WithKeysOnly,
// WithCountOnly, WithSerializable and bounds on the key's revisions included; one that
// is WithSerializable does not take ownership. The response is a copy. Its
// Header.Revision is the highest that this KV had seen when the key was as it says, so
// that a watch from the next revision on misses nothing. So is a transaction whose
// conditions are on single keys in memory, and choose a branch of nothing but such
// gets of keys in memory; no transaction takes ownership. Gets of ranges and of the
// past, GetStream, and other transactions go to the server. So do all reads of a key
// for about a second after another client wanted to write it, or was found to own it.
//
// Writes. Put, Delete, and transactions that write, are transactions with the additional condition
// that nobody else owns what they may write. Otherwise the owners are asked to give it up, and the
// call blocks until they have, their leases have expired, or ctx ends. An error leaves open whether
// it was applied where that of a plain write does. A write of a key that begins with pfx is refused
// before it is sent; a Get of one goes to the server. The server's --max-txn-ops limits the keys
// and ranges that a transaction may write, in both of its branches, and the longest of its three
// parts together: with the default of 128, 64 puts.
//
// Each key that is kept costs its size, a watch, and a goroutine.
func NewKV(
	cl *clientv3.Client, pfx string, opts ...concurrency.SessionOption,
) (clientv3.KV, func(), error) {
	if pfx == "" {
		return nil, nil, errors.New("leasing: the prefix of the lease keys is empty")
	}
	l := &leasing{kv: cl.KV, watcher: cl.Watcher, options: opts, prefix: pfx, table: newTable(pfx)}
	l.ctx, l.cancel = context.WithCancel(cl.Ctx())
	l.sessions = clientv3.NewCtxClient(cl.Ctx(), clientv3.WithZapLogger(cl.GetLogger()),
		func(c *clientv3.Client) {
			l.grants = &grants{Lease: cl.Lease, ctx: l.ctx}
			c.Lease = l.grants
		})
	first, err := l.newSession()
	if err != nil {
		l.discard(first)
		return nil, nil, err
	}
	l.table.startTerm(first.term)
	// Ends with l.ctx and the session that it then revokes; stop waits for it.
	l.running.Go(func() { l.run(first) })
	return l, l.stop, nil
}

// discard ends a KV that did not come about, and the session that was made for it, if
// there is one. Where the context that this was waited for in has ended, it waits for
// no server: the lease expires by itself.
func (l *leasing) discard(s *session) {
	switch {
	case s == nil:
	case s.term.isInherited: // the lease is the user's still
		s.cancel()
		s.Orphan()
	default:
		defer time.AfterFunc(closeTimeout, func() { _ = l.sessions.Close() }).Stop()
		if s.Ctx().Err() != nil {
			_ = l.sessions.Close()
		}
		s.close()
	}
	l.stop()
}

// stop ends all that runs in the background.
func (l *leasing) stop() {
	l.table.endTerm() // before the lease keys are deleted with the lease
	defer time.AfterFunc(closeTimeout, func() { _ = l.sessions.Close() }).Stop()
	l.cancel()
	l.running.Wait()
	l.table.tenants.Wait()
	_ = l.sessions.Close()
}

// Get implements clientv3.KV.
func (l *leasing) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	if len(opts) == 0 && ctx.Err() == nil {
		if resp, _ := l.table.look(key, nil); resp != nil {
			return resp, nil
		}
	}
	return l.get(ctx, clientv3.OpGet(key, opts...))
}

// GetStream implements clientv3.KV.
func (l *leasing) GetStream(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	return l.kv.GetStream(ctx, key, opts...)
}

// Put implements clientv3.KV.
func (l *leasing) Put(
	ctx context.Context, key, val string, opts ...clientv3.OpOption,
) (*clientv3.PutResponse, error) {
	return l.put(ctx, clientv3.OpPut(key, val, opts...))
}

// Delete implements clientv3.KV.
func (l *leasing) Delete(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.DeleteResponse, error) {
	return l.delete(ctx, clientv3.OpDelete(key, opts...))
}

// Compact implements clientv3.KV.
func (l *leasing) Compact(
	ctx context.Context, rev int64, opts ...clientv3.CompactOption,
) (*clientv3.CompactResponse, error) {
	resp, err := l.kv.Compact(ctx, rev, opts...)
	return resp, bareContextError(err)
}

// Do implements clientv3.KV.
func (l *leasing) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	switch {
	case op.IsGet():
		return opResponse(l.get(ctx, op))
	case op.IsPut():
		return opResponse(l.put(ctx, op))
	case op.IsDelete():
		return opResponse(l.delete(ctx, op))
	case op.IsTxn():
		return opResponse(l.txn(ctx, op))
	default:
		return l.kv.Do(ctx, op) // which refuses it
	}
}

// opResponse makes the result of a Do from that of the method for its kind.
func opResponse(
	resp interface{ OpResponse() clientv3.OpResponse }, err error,
) (clientv3.OpResponse, error) {
	if err != nil {
		return clientv3.OpResponse{}, err
	}
	return resp.OpResponse(), nil
}

func (l *leasing) get(ctx context.Context, op clientv3.Op) (*clientv3.GetResponse, error) {
	if !isCacheable(l.prefix, &op) || ctx.Err() != nil {
		return l.ask(ctx, op)
	}
	key := string(op.KeyBytes())
	resp, pending := l.table.look(key, &op)
	switch {
	case resp != nil:
		return resp, nil
	case pending != nil: // somebody else's attempt, which may have begun before this call
		if err := wait(ctx, pending.settled); err != nil {
			return nil, err
		}
		if resp, _ = l.table.look(key, &op); resp != nil {
			return resp, nil
		}
	case isWorthOwning(&op):
		t, err := l.acquire(ctx, key)
		if err != nil {
			return nil, err
		}
		if t != nil && t.read != nil {
			return t.read.response(l.table.latest.get(), t.read.rev, &op), nil
		}
	}
	return l.ask(ctx, op)
}

// ask has the server answer a get.
func (l *leasing) ask(ctx context.Context, op clientv3.Op) (*clientv3.GetResponse, error) {
	resp, err := l.kv.Do(ctx, op)
	if err != nil {
		return nil, bareContextError(err)
	}
	l.table.latest.saw(resp.Get().Header)
	return resp.Get(), nil
}
