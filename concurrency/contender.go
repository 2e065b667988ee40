package concurrency

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/keystate"
	"go.etcd.io/etcd/client/v3/internal/retry"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// contender is a session's place in the queue of a mutex or an election. All clients of a cluster
// must agree on the order of the queue.
//
// The queue consists of all keys with the prefix pfx, ordered by their create revisions. Each
// session has one key in it, whose name ends with the ID of the session's lease. The session of the
// first key has the lock or leads. Every other session waits for the deletion of the key right
// before its own.
type contender struct {
	s   *session
	pfx string // the prefix of all keys of the queue, including the slash at its end
	key string

	// mark begins the value of the session's key. For a mutex it is the session's nonce, which
	// proves who has written the value. For an election it is empty: the user chooses the value.
	mark string
}

func newContender(s *Session, pfx string) contender {
	pfx += "/"
	return contender{s: s.session, pfx: pfx, key: fmt.Sprintf("%s%x", pfx, s.Lease())}
}

// The value of a mutex's key is the nonce (a random text) of its writer, then isMade or isFound.
const (
	isMade  = "/made"  // the session that has written the value has also created the key
	isFound = "/found" // another session on the same lease has created the key
)

// position is the place of a contender's key in the queue, as one transaction has seen it.
type position struct {
	hdr     *pb.ResponseHeader
	version keystate.Version // the version of the contender's key
	// ahead is the name of a key before the contender's key in the queue, in most cases the nearest
	// one. It is "" if there is none.
	ahead string
	found *mvccpb.KeyValue // the contender's key; nil if the transaction has created it

	incarnation *keystate.Incarnation // counts the calls of this session that use the key
}

func (p position) rev() int64 { return p.version.Create }

// errOccupied is returned by tryEnter if the queue has keys, but none of this contender.
var errOccupied = errors.New("concurrency: there are other contenders")

// enter puts the contender's key at the end of the queue, and returns its position. If the key
// exists already, it stays in its place. The caller then counts as a user of the key, so that
// clean-up does not delete the key.
func (c contender) enter(ctx context.Context, val string) (position, error) {
	return c.put(ctx, val, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.key), "=", 0)},
		// The put makes the contender's key the last one of the queue. So the last two keys are the
		// contender's key and the key right before it.
		[]clientv3.Op{c.putOp(val), clientv3.OpGet(c.pfx,
			append(clientv3.WithLastCreate(), clientv3.WithLimit(2))...)},
		c.getOwnAndFirst()))
}

// tryEnter is enter for an empty queue: it puts the contender's key only if the queue has no keys.
// If the queue has only keys of other contenders, tryEnter puts nothing and returns errOccupied.
func (c contender) tryEnter(ctx context.Context, val string) (position, error) {
	return c.put(ctx, val, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.pfx), "=", 0).WithPrefix()},
		[]clientv3.Op{c.putOp(val), clientv3.OpGet(c.key)},
		c.getOwnAndFirst()))
}

func (c contender) putOp(val string) clientv3.Op {
	return clientv3.OpPut(c.key, val, clientv3.WithLease(c.s.lease))
}

func (c contender) getOwnAndFirst() []clientv3.Op {
	return []clientv3.Op{clientv3.OpGet(c.key),
		clientv3.OpGet(c.pfx, clientv3.WithFirstCreate()...)}
}

// put runs the transaction txn and returns the place of the contender's key in the queue. txn puts
// the key with the value val, or finds that the key exists already. If this session has to delete
// the existing key, put deletes it and runs txn again.
//
// txn must have these operations:
//
//   - if its comparisons succeed: the put, then a get of the key, which may also read the key right
//     before it
//   - if they fail: those that getOwnAndFirst returns
func (c contender) put(ctx context.Context, val string, txn clientv3.Op) (position, error) {
	for {
		c.s.update(c.key, (*keystate.State).Begin)
		p, err := c.putMarked(ctx, val, txn)
		if err != nil {
			c.s.waitCleanedUp(c.key)
			return position{}, cmp.Or(c.tooLate(ctx), err)
		}
		c.s.update(c.key, func(k *keystate.State) {
			if p.found == nil {
				p.incarnation = k.Made(p.version)
				return
			}
			value := string(p.found.Value)
			p.incarnation = k.Found(p.version, value, c.mark != "" && value == c.mark+isMade)
		})
		if p.incarnation != nil {
			return p, nil
		}
		if err := c.s.deleteVersion(ctx, c.key, p.version); err != nil {
			return position{}, err
		}
	}
}

// tooLate returns the error of a put that has failed because the contender's session has ended. It
// returns nil if the put has failed for another reason. The cause of ctx is no proof, because ctx
// may belong to another session or its lock. So tooLate also checks this session.
func (c contender) tooLate(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), ErrSessionExpired) {
		return c.s.over()
	}
	return nil
}

// putMarked runs txn and returns the place of the contender's key in the queue. If txn finds a key
// that another session on the same lease has written, putMarked writes the contender's mark (a
// random text of its session) into it. If the key is gone by then, putMarked runs txn again.
//
// After a failure, putMarked records the failed put in the session's state of the key. After a
// success, the caller must record the result there.
func (c contender) putMarked(ctx context.Context, val string, txn clientv3.Op) (position, error) {
	for {
		sending, proof := retry.WithProof(ctx)
		p, err := c.putOnce(sending, txn)
		if err != nil {
			c.s.update(c.key, c.failed(err, val, proof.NothingSent()))
			return position{}, err
		}
		if p.found == nil || bytes.HasPrefix(p.found.Value, []byte(c.mark)) {
			return p, nil
		}
		marked, err := c.putMark(ctx, p)
		if err != nil {
			c.s.update(c.key, (*keystate.State).Fail)
			return position{}, err
		}
		if marked.version != p.version {
			return marked, nil
		}
	}
}

// putMark writes the contender's mark (a random text of its session) into a key that another
// session on the same lease has created. The key then has a new version. So if the other session is
// about to delete the old version, that delete has no effect.
//
// putMark returns the position with the key's new version, or p unchanged if the key is gone.
func (c contender) putMark(ctx context.Context, p position) (position, error) {
	resp, err := c.s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(c.key), "=", p.rev())).
		Then(c.putOp(c.mark + isFound)).
		Commit()
	if err == nil && resp.Succeeded {
		p.version.Mod = resp.Header.GetRevision()
	}
	return p, err
}

// failed returns the change of the key's state after a put of the value val has failed with err.
// The caller passes the change to session.update. If unsent is true, no request was sent.
//
// A put that was refused or not sent has no effect. After any other failure a member may still
// apply the put. So clean-up watches the key and deletes it if it is created. In two cases clean-up
// does not watch, and a key that is created stays until the lease ends:
//
//   - The session is orphaned. Another session may have taken over the lease, and may use the key.
//   - The key is a candidate's, and the session's lease was given by WithLease. The value of the
//     key would not prove that this session has created it.
func (c contender) failed(err error, val string, unsent bool) func(*keystate.State) {
	noEffect := unsent || errors.Is(err, errOccupied) || classify.IsRefusal(err)
	return func(k *keystate.State) {
		unproven := c.mark == "" && !c.s.granted || errors.Is(context.Cause(c.s.ctx), errOrphaned)
		if noEffect || unproven {
			k.Fail()
		} else {
			k.Lose(val)
		}
	}
}

func (c contender) putOnce(ctx context.Context, txn clientv3.Op) (position, error) {
	answer, err := c.s.client.Do(ctx, txn)
	if err != nil {
		return position{}, err
	}
	resp := answer.Txn()
	if resp == nil {
		return position{}, txnanswer.ErrMalformed
	}
	if !resp.Succeeded {
		return c.readOwnAndFirst(resp)
	}
	kvs, err := txnanswer.Pairs(resp.Responses, 1)
	if err != nil || len(kvs) == 0 || string(kvs[0].Key) != c.key {
		return position{}, cmp.Or(err, txnanswer.ErrMalformed)
	}
	p := position{hdr: resp.Header, version: c.s.versionOf(kvs[0])}
	p.ahead, err = c.nameInQueue(kvs[1:])
	return p, err
}

// readOwnAndFirst returns the place of the contender's key in the queue. resp is the response to a
// get of the contender's key and a get of the queue's first key. If the contender's key does not
// exist, readOwnAndFirst returns errOccupied.
func (c contender) readOwnAndFirst(resp *clientv3.TxnResponse) (position, error) {
	own, first, err := c.readOwnAndOther(resp)
	switch {
	case err != nil:
		return position{}, err
	case first == "":
		return position{}, txnanswer.ErrMalformed
	case own == nil:
		return position{}, errOccupied
	case string(own.Key) != c.key:
		return position{}, txnanswer.ErrMalformed
	case first == c.key:
		first = ""
	}
	return position{hdr: resp.Header, version: c.s.versionOf(own), ahead: first, found: own}, nil
}

// readOwnAndOther reads the response to a get of the contender's key and a get of another key in
// the queue. own is the contender's key, or nil if it does not exist. other is the name of the
// other key, or "" if there is none.
func (c contender) readOwnAndOther(
	resp *clientv3.TxnResponse,
) (own *mvccpb.KeyValue, other string, err error) {
	kvs, err := txnanswer.Pairs(resp.Responses, 0)
	if err != nil {
		return nil, "", err
	}
	if len(kvs) > 0 {
		own = kvs[0]
	}
	if kvs, err = txnanswer.Pairs(resp.Responses, 1); err == nil {
		other, err = c.nameInQueue(kvs)
	}
	return own, other, err
}

// nameInQueue returns the name of the first of kvs, or "" if kvs is empty. A name without the
// prefix of the queue is an error: such a response is malformed, and must not make a lock seem
// free.
func (c contender) nameInQueue(kvs []*mvccpb.KeyValue) (string, error) {
	switch {
	case len(kvs) == 0:
		return "", nil
	case !bytes.HasPrefix(kvs[0].Key, []byte(c.pfx)):
		return "", txnanswer.Errorf("key %q among those with the prefix %q", kvs[0].Key, c.pfx)
	}
	return string(kvs[0].Key), nil
}

// abandon ends the caller's use of the key that p describes. If this session has created the key
// and no other call uses it, the key is deleted. abandon waits for the deletion, but no longer than
// the constant grace. After that the deletion goes on in the background.
func (c contender) abandon(p position) {
	c.s.update(c.key, func(k *keystate.State) { k.Release(p.incarnation) })
	c.s.waitCleanedUp(c.key)
}

// waitForTurn waits until the contender is first in the queue, and returns its position. The wait
// succeeds only when one transaction has seen that the contender's key exists and that no key is
// before it. A watch event is not enough: it only makes the contender read the keys again.
func (c contender) waitForTurn(ctx context.Context, p position) (position, error) {
	if p.ahead == "" {
		return p, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &waiter{c: c, ctx: clientv3.WithRequireLeader(ctx), at: p}
	first := w.changed
	if p.found != nil {
		// p.ahead is the first key of the queue, but the contender must watch the key right before
		// its own. With nil, Loop begins with w.look, which finds that key.
		first = nil
	}
	err := await.Loop(ctx, first, w.look, func(err error) bool {
		return errors.Is(err, ErrSessionExpired) || classify.IsHalt(ctx, err)
	})
	return w.at, err
}

// waiter watches two keys for a contender that waits in the queue. The first is the key right
// before the contender's key: when it is deleted, the contender may be first. The second is the
// contender's own key. Its deletion shows that the session's lease has ended, sooner than a renewal
// of the lease.
type waiter struct {
	c       contender
	ctx     context.Context    // the context of the watch in the field own
	own     clientv3.WatchChan // the watch of the contender's own key, or nil
	ownGone bool               // the watch has reported that the contender's own key was deleted
	at      position           // the contender's position, as it was read last
}

// look reads the contender's key and the key right before it, and updates the contender's position.
// It returns the function that waits for a change of these keys, or nil if the contender is first.
// It returns ErrSessionExpired if the contender's key is gone.
func (w *waiter) look(ctx context.Context) (await.Change, error) {
	if w.ownGone {
		return nil, ErrSessionExpired
	}
	before := append(clientv3.WithLastCreate(), clientv3.WithMaxCreateRev(w.at.rev()-1))
	resp, err := w.c.s.client.Txn(ctx).Then(clientv3.OpGet(w.c.key),
		clientv3.OpGet(w.c.pfx, before...)).Commit()
	if err != nil {
		return nil, err
	}
	own, ahead, err := w.c.readOwnAndOther(resp)
	switch {
	case err != nil:
		return nil, err
	case own.GetCreateRevision() != w.at.rev():
		return nil, ErrSessionExpired
	}
	w.at.hdr, w.at.ahead, w.at.found = resp.Header, ahead, nil
	if ahead == "" {
		return nil, nil
	}
	return w.changed, nil
}

// changed waits until the contender's key or the key right before it is deleted, and then returns
// true. It returns false if a watch ends first.
func (w *waiter) changed(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	since := []clientv3.OpOption{clientv3.WithRev(w.at.hdr.GetRevision() + 1),
		clientv3.WithFilterPut()}
	if w.own == nil {
		w.own = w.c.s.client.Watch(w.ctx, w.c.key, since...)
	}
	ahead := w.c.s.client.Watch(ctx, w.at.ahead, since...)
	for {
		select {
		case resp, open := <-w.own:
			if hasDelete(resp) {
				w.ownGone = true
				return true
			}
			if !open || resp.Err() != nil {
				w.own = nil
				return false
			}
		case resp, open := <-ahead:
			if hasDelete(resp) {
				return true
			}
			if !open || resp.Err() != nil {
				return false
			}
		}
	}
}

// deleted waits until the key is deleted at a revision greater than rev, and then returns true. It
// returns false if the watch ends first.
func (s *session) deleted(ctx context.Context, key string, rev int64) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range s.client.Watch(ctx, key, clientv3.WithRev(rev+1), clientv3.WithFilterPut()) {
		if hasDelete(resp) {
			return true
		}
	}
	return false
}

func hasDelete(resp clientv3.WatchResponse) bool {
	return slices.ContainsFunc(resp.Events, func(ev *clientv3.Event) bool {
		return ev.Type == clientv3.EventTypeDelete
	})
}
