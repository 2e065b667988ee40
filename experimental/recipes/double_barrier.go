package recipe

import (
	"context"
	"errors"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/await"
)

// errNotEntered is returned by Leave if the client is not inside of the barrier.
var errNotEntered = errors.New("recipe: the double barrier was not entered")

// DoubleBarrier lets a number of clients begin together and end together. Enter returns when all of
// them have called Enter. Leave returns when all of them have called Leave. After Leave a client
// may enter again. A client whose session ends is not counted any more.
//
// Each client has a DoubleBarrier of its own, which only one goroutine at a time may use.
type DoubleBarrier struct {
	s     *concurrency.Session
	pfx   string
	count int

	own   *EphemeralKV // the client's key; nil while the client is outside
	ready int64        // mod revision of the key that is put when all clients have entered
	left  bool         // Leave has sent a request that deletes the client's key
}

// NewDoubleBarrier returns the double barrier with the given key. The parameter count is the number
// of clients. NewDoubleBarrier sends no request. The names of the barrier's keys begin with the
// given key and a slash.
func NewDoubleBarrier(s *concurrency.Session, key string, count int) *DoubleBarrier {
	return &DoubleBarrier{s: s, pfx: key + "/", count: count}
}

func (b *DoubleBarrier) waiters() string  { return b.pfx + "waiters/" }
func (b *DoubleBarrier) readyKey() string { return b.pfx + "ready" }

// Enter waits until as many clients as the barrier's count have called Enter. After an error the
// client is outside. Errors:
//
//   - [ErrTooManyClients]: that many other clients are already waiting, or clients are still
//     inside.
//   - [concurrency.ErrSessionExpired]: the session has ended, or the client's key was deleted.
//   - those of clientv3.KV
func (b *DoubleBarrier) Enter() error {
	ctx, client := b.s.Ctx(), b.s.Client()
	waiting, err := client.Get(ctx, b.waiters(), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return sessionError(b.s, err)
	}
	if waiting.Count >= int64(b.count) {
		return ErrTooManyClients
	}
	own, found, err := createEphemeral(b.s, b.waiters(), clientv3.OpGet(b.readyKey()),
		clientv3.OpGet(b.waiters(), clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	if err != nil {
		return err
	}
	if b.full(found[0], found[1]) {
		b.s.Discard(own.Key(), own.Revision())
		return ErrTooManyClients
	}
	var ready int64
	err = waitUntil(ctx, func(ctx context.Context) (next await.Change, err error) {
		ready, next, err = b.tryEnter(ctx, own)
		return next, err
	})
	if err != nil {
		b.s.Discard(own.Key(), own.Revision())
		return sessionError(b.s, err)
	}
	b.own, b.ready, b.left = own, ready, false
	return nil
}

// full reports whether the barrier was already full when this client's key was put. It was full if
// it had more clients than its count, or if one of them was inside. A client is inside if its key
// is older than the ready key, which is put when all clients have entered.
//
// waiters has the keys of all clients, waiting or inside. ready has the ready key, if there is one.
func (b *DoubleBarrier) full(ready, waiters []*mvccpb.KeyValue) bool {
	return len(waiters) > b.count || len(ready) > 0 &&
		slices.ContainsFunc(waiters, func(kv *mvccpb.KeyValue) bool {
			return kv.CreateRevision < ready[0].ModRevision
		})
}

// tryEnter returns the revision at which all clients had entered. If they have not entered yet, it
// returns a function that waits for the next change. The client that completes the count puts the
// ready key. The others wait for this key.
func (b *DoubleBarrier) tryEnter(
	ctx context.Context, own *EphemeralKV,
) (ready int64, next await.Change, err error) {
	client := b.s.Client()
	found, rev, err := read(ctx, client,
		clientv3.OpGet(own.Key()),
		clientv3.OpGet(b.readyKey()),
		clientv3.OpGet(b.waiters(), clientv3.WithPrefix(), clientv3.WithKeysOnly(),
			clientv3.WithMaxCreateRev(own.Revision())))
	if err != nil {
		return 0, nil, err
	}
	if len(found[0]) == 0 {
		return 0, nil, concurrency.ErrSessionExpired
	}
	if len(found[1]) > 0 {
		ready = found[1][0].ModRevision
	}
	if ready > own.Revision() {
		return ready, nil, nil
	}
	if len(found[2]) < b.count {
		return 0, changeOf(client, b.readyKey(), rev, clientv3.WithFilterDelete()), nil
	}
	// The transaction has the condition that this client's key still exists. Without the condition,
	// a member that applies the request late would let in clients of a later round.
	resp, err := client.Txn(ctx).If(own.exists()).Then(clientv3.OpPut(b.readyKey(), "")).Commit()
	switch {
	case err != nil:
		return 0, nil, err
	case !resp.Succeeded:
		return 0, nil, concurrency.ErrSessionExpired
	}
	return resp.Header.GetRevision(), nil, nil
}

// Leave waits until all clients that have entered with this client have called Leave. Clients that
// have lost their sessions are not waited for. Errors:
//
//   - [concurrency.ErrSessionExpired]
//   - an unexported error if the client is not inside
//   - those of clientv3.KV; Leave may then be called again
func (b *DoubleBarrier) Leave() error {
	if b.own == nil {
		return errNotEntered
	}
	err := sessionError(b.s, waitUntil(b.s.Ctx(), b.tryLeave))
	if err == nil || errors.Is(err, concurrency.ErrSessionExpired) {
		b.own = nil
	}
	return err
}

// tryLeave returns nil if this client may leave. Otherwise it returns a function that waits for the
// next change.
//
//   - The client whose key was put first waits for the others, one by one. It begins with the
//     client whose key was put last.
//   - Each of the others deletes its own key, and waits until the first key is deleted.
//
// All clients must agree on this order, also those that use etcd's own client.
func (b *DoubleBarrier) tryLeave(ctx context.Context) (await.Change, error) {
	found, rev, err := read(ctx, b.s.Client(),
		clientv3.OpGet(b.waiters(), clientv3.WithPrefix(), clientv3.WithKeysOnly(),
			clientv3.WithMaxCreateRev(b.ready), clientv3.WithSort(clientv3.SortByModRevision,
				clientv3.SortAscend)))
	if err != nil {
		return nil, err
	}
	inside := found[0]
	here := slices.ContainsFunc(inside, func(kv *mvccpb.KeyValue) bool {
		return string(kv.Key) == b.own.Key()
	})
	switch {
	case !here && !b.left:
		return nil, concurrency.ErrSessionExpired
	case len(inside) == 0:
		return nil, nil
	case here && len(inside) == 1:
		return nil, b.last(ctx)
	}
	first, last := string(inside[0].Key), string(inside[len(inside)-1].Key)
	if first == b.own.Key() {
		return changeOf(b.s.Client(), last, rev, clientv3.WithFilterPut()), nil
	}
	if here {
		b.left = true // even if delete fails: the request may have been applied
		if err := b.own.delete(ctx); err != nil {
			return nil, err
		}
	}
	return changeOf(b.s.Client(), first, rev, clientv3.WithFilterPut()), nil
}

// last is called when this client is the last one inside. It deletes the client's key, and the key
// that was put when all clients had entered. Then clients may enter again.
func (b *DoubleBarrier) last(ctx context.Context) error {
	b.left = true
	_, err := b.s.Client().Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(b.readyKey()), "=", b.ready)).
		Then(clientv3.OpDelete(b.readyKey()), clientv3.OpDelete(b.own.Key())).
		Else(clientv3.OpDelete(b.own.Key())).
		Commit()
	return err
}
