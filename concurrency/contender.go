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

// contender is a session's place in the queue for a prefix. Each session has one key in the queue,
// which is named by its lease. The queue is ordered by the create revisions of the keys: the first
// key has the lock or leads, and each other key waits for the deletion of the one right before it.
// All clients of a cluster must agree on this.
type contender struct {
	s   *session
	pfx string // with the slash that ends it
	key string

	// The values of the session's key begin with mark: the session's nonce for a mutex. For a
	// candidate, whose value is the user's, mark is empty.
	mark string
}

func newContender(s *Session, pfx string) contender {
	pfx += "/"
	return contender{s: s.session, pfx: pfx, key: fmt.Sprintf("%s%x", pfx, s.Lease())}
}

// The value of a mutex's key is a session's mark, followed by isMade or isFound.
const (
	isMade  = "/made"  // the session has made the key
	isFound = "/found" // another session on the same lease has made it
)

// position is where a contender is in its queue, as one transaction has seen it.
type position struct {
	hdr     *pb.ResponseHeader
	version keystate.Version // of the contender's key
	ahead   string           // the key right before it, or the first one; "" if it is first
	found   *mvccpb.KeyValue // the contender's key, if the transaction did not make it

	incarnation *keystate.Incarnation // the record of the contender's key, which counts its users
}

func (p position) rev() int64 { return p.version.Create }

// errOccupied is returned by tryEnter if another contender is first.
var errOccupied = errors.New("concurrency: there are other contenders")

// enter puts the contender's key, or finds it, and becomes a user of it. It returns the contender's
// position.
func (c contender) enter(ctx context.Context, val string) (position, error) {
	return c.put(ctx, val, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.key), "=", 0)},
		// The last two keys are then the contender's own and the one right before it.
		[]clientv3.Op{c.putOp(val), clientv3.OpGet(c.pfx,
			append(clientv3.WithLastCreate(), clientv3.WithLimit(2))...)},
		c.getOwnAndFirst()))
}

// tryEnter puts the contender's key if the queue is empty, or finds it, and becomes a user of it.
// If the queue has other keys only, it puts nothing and returns errOccupied.
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

// put runs txn, which puts the contender's key with val or finds it, and returns the contender's
// position. If the key must not be used because it is due for deletion, put deletes it and runs txn
// again. If txn puts the key, its next operation reads the key back. Otherwise its operations are
// those of getOwnAndFirst.
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

// tooLate returns the error of a put whose context ended because the session has lost its lease, or
// nil. The cause alone does not say that it was this session: the caller's context may be that of
// another session or lock.
func (c contender) tooLate(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), ErrSessionExpired) {
		return c.s.over()
	}
	return nil
}

// putMarked runs txn until the key has the contender's mark, and returns the contender's position.
// If it fails, it has recorded the end of the put in the state of the key.
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

// putMark puts the contender's mark on a key that another session on the same lease has made. It
// returns the position with the new version, or p if the key is gone. The other session may be
// about to delete the key as it was; the mark makes that delete fail.
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

// failed returns the change of the key's state after a put of val that has failed with err. A put
// that was refused or not sent has no effect. A key that an orphaned session's put makes is left to
// the lease, because another session may use it. A key that a candidate's put makes on a lease that
// the session was given is left to the lease, too: its value would not prove that this session has
// made the key.
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

// readOwnAndFirst returns the contender's position from the answers to getOwnAndFirst.
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

// readOwnAndOther returns the contender's key and the name of another key in the queue, from the
// answers to gets of these two. They are nil and "" if the keys do not exist.
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

// nameInQueue returns the name of the first of kvs, or "" if kvs is empty. A key that is not in the
// queue is an error: such an answer must not make a lock seem free.
func (c contender) nameInQueue(kvs []*mvccpb.KeyValue) (string, error) {
	switch {
	case len(kvs) == 0:
		return "", nil
	case !bytes.HasPrefix(kvs[0].Key, []byte(c.pfx)):
		return "", txnanswer.Errorf("key %q among those with the prefix %q", kvs[0].Key, c.pfx)
	}
	return string(kvs[0].Key), nil
}

// look returns the contender's position anew, or ErrSessionExpired if its key is gone.
func (c contender) look(ctx context.Context, p position) (position, error) {
	before := append(clientv3.WithLastCreate(), clientv3.WithMaxCreateRev(p.rev()-1))
	resp, err := c.s.client.Txn(ctx).Then(clientv3.OpGet(c.key),
		clientv3.OpGet(c.pfx, before...)).Commit()
	if err != nil {
		return position{}, err
	}
	own, ahead, err := c.readOwnAndOther(resp)
	switch {
	case err != nil:
		return position{}, err
	case own.GetCreateRevision() != p.rev():
		return position{}, ErrSessionExpired
	}
	p.hdr, p.ahead, p.found = resp.Header, ahead, nil
	return p, nil
}

// abandon ends the use of the key of p, which is deleted if it has no other users. abandon waits up
// to grace for that. If the cluster does not answer in time, clean-up goes on in the background.
func (c contender) abandon(p position) {
	c.s.update(c.key, func(k *keystate.State) { k.Release(p.incarnation) })
	c.s.waitCleanedUp(c.key)
}

// waitForTurn waits until the contender is first, and returns its position, which one transaction
// has seen: the contender's key existed, and no key was before it. An event only makes the
// contender look again.
func (c contender) waitForTurn(ctx context.Context, p position) (position, error) {
	if p.ahead == "" {
		return p, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &waiter{c: c, ctx: clientv3.WithRequireLeader(ctx), at: p}
	first := w.changed
	if p.found != nil {
		first = nil // p.ahead is the first key, and there may be others before the contender's
	}
	err := await.Loop(ctx, first, w.look, func(err error) bool {
		return errors.Is(err, ErrSessionExpired) || classify.IsHalt(ctx, err)
	})
	return w.at, err
}

// waiter watches two keys for a contender: the key right before the contender's, for whose deletion
// it waits, and the contender's own. The deletion of the own key shows that the session's lease has
// ended, as soon as the server knows and before a renewal could show it.
type waiter struct {
	c       contender
	ctx     context.Context // of the watch of the contender's own key
	own     clientv3.WatchChan
	ownGone bool
	at      position
}

// look updates the contender's position. It returns the Change to wait for, or nil if the contender
// is first, or ErrSessionExpired if its key is gone.
func (w *waiter) look(ctx context.Context) (await.Change, error) {
	if w.ownGone {
		return nil, ErrSessionExpired
	}
	p, err := w.c.look(ctx, w.at)
	if err != nil {
		return nil, err
	}
	if w.at = p; p.ahead == "" {
		return nil, nil
	}
	return w.changed, nil
}

// changed waits for the deletion of one of the two keys, and returns true then. It returns false if
// a watch ends before.
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

// deleted waits for the deletion of a key after a revision, and returns true then. It returns false
// if the watch ends before.
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
