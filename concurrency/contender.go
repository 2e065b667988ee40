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
// which is named by the session's lease. The queue is ordered by the create revisions of its keys.
// The session of the first key has the lock or leads. The session of every other key waits for the
// deletion of the key right before its own. All clients of a cluster must agree on this order.
type contender struct {
	s   *session
	pfx string // with the slash that ends it
	key string

	// mark is what the values of the session's key begin with. For a mutex it is the session's
	// nonce. For a candidate it is empty, because the value is the user's.
	mark string
}

func newContender(s *Session, pfx string) contender {
	pfx += "/"
	return contender{s: s.session, pfx: pfx, key: fmt.Sprintf("%s%x", pfx, s.Lease())}
}

// The value of a mutex's key is the mark of a session, followed by isMade or isFound.
const (
	isMade  = "/made"  // the session has created the key
	isFound = "/found" // another session on the same lease has created the key
)

// position is the place of a contender's key in the queue, as one transaction has seen it.
type position struct {
	hdr     *pb.ResponseHeader
	version keystate.Version // of the contender's key
	ahead   string           // a key before it, in most cases the nearest; "" if there is none
	found   *mvccpb.KeyValue // the contender's key; nil if the transaction has created it

	incarnation *keystate.Incarnation // record of the contender's key; counts the calls that use it
}

func (p position) rev() int64 { return p.version.Create }

// errOccupied is returned by tryEnter if the queue has keys of other contenders only.
var errOccupied = errors.New("concurrency: there are other contenders")

// enter puts the contender's key, or finds it if it exists, and becomes a user of it. It returns
// the position of the key.
func (c contender) enter(ctx context.Context, val string) (position, error) {
	return c.put(ctx, val, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.key), "=", 0)},
		// The put makes the contender's key the last one of the queue. So the last two keys are
		// that key and the one right before it.
		[]clientv3.Op{c.putOp(val), clientv3.OpGet(c.pfx,
			append(clientv3.WithLastCreate(), clientv3.WithLimit(2))...)},
		c.getOwnAndFirst()))
}

// tryEnter puts the contender's key if the queue is empty. If the key exists already, tryEnter
// finds it. In these two cases it becomes a user of the key and returns the position of the key.
// Otherwise it puts nothing and returns errOccupied.
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

// put runs txn, which puts the contender's key with the value val or finds it, and returns the
// position of the key. If the key must not be used because it has to be deleted, put deletes it and
// runs txn again.
//
// If txn puts the key, its next operation must read the key back, with or without the key right
// before it. If txn finds the key, its operations must be those of getOwnAndFirst.
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

// tooLate returns the error of a put that has failed because this session has lost its lease. It
// returns nil if the put has failed for another reason. If the cause of ctx is ErrSessionExpired,
// another session may have ended: ctx may be the context of that session or of its lock. So tooLate
// asks this session.
func (c contender) tooLate(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), ErrSessionExpired) {
		return c.s.over()
	}
	return nil
}

// putMarked runs txn, and repeats it until the value of the key begins with the contender's mark.
// It returns the position of the key. If putMarked fails, it records the end of the put in the
// state of the key. Otherwise its caller has to do that.
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

// putMark puts the contender's mark on a key that another session on the same lease has created. It
// returns the position with the new version, or p as it is if the key is gone. The mark is needed
// because the other session may be about to delete the key: its delete has the old version as a
// condition, and does nothing once the mark is on the key.
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

// failed returns the change of the key's state after a put of val that has failed with err. unsent
// says that no request was sent. A put that was refused or not sent has no effect. All other puts
// are uncertain, and clean-up looks for what they create, with two exceptions that are left to the
// lease:
//
//   - The session is orphaned. Another session may use the key.
//   - The key is a candidate's, and the session was given its lease. The value of the key would not
//     prove that this session has created it.
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

// readOwnAndFirst returns the contender's position from the response to getOwnAndFirst. It returns
// errOccupied if the contender's key does not exist.
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

// readOwnAndOther returns two results from the response to two gets: the contender's key, or nil if
// it does not exist, and the name of another key in the queue, or "" if there is none.
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

// nameInQueue returns the name of the first of kvs, or "" if kvs is empty. It returns an error if
// that key is not in the queue, because such an answer must not make a lock seem free.
func (c contender) nameInQueue(kvs []*mvccpb.KeyValue) (string, error) {
	switch {
	case len(kvs) == 0:
		return "", nil
	case !bytes.HasPrefix(kvs[0].Key, []byte(c.pfx)):
		return "", txnanswer.Errorf("key %q among those with the prefix %q", kvs[0].Key, c.pfx)
	}
	return string(kvs[0].Key), nil
}

// abandon ends the use of the key of p. If the key has no other users, it is deleted, and abandon
// waits up to grace for that. If the cluster does not answer in time, the deletion goes on in the
// background.
func (c contender) abandon(p position) {
	c.s.update(c.key, func(k *keystate.State) { k.Release(p.incarnation) })
	c.s.waitCleanedUp(c.key)
}

// waitForTurn waits until the contender is first in the queue, and returns its position. One
// transaction has seen that position: the contender's key existed, and no key was before it. Events
// alone never end the wait successfully, they only make the contender look again.
func (c contender) waitForTurn(ctx context.Context, p position) (position, error) {
	if p.ahead == "" {
		return p, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &waiter{c: c, ctx: clientv3.WithRequireLeader(ctx), at: p}
	first := w.changed
	if p.found != nil {
		first = nil // p.ahead is the first key of the queue; look finds the key to wait for
	}
	err := await.Loop(ctx, first, w.look, func(err error) bool {
		return errors.Is(err, ErrSessionExpired) || classify.IsHalt(ctx, err)
	})
	return w.at, err
}

// waiter watches two keys for a contender that waits for its turn. The first is the key right
// before the contender's: when it is deleted, it may be the contender's turn. The second is the
// contender's own key: its deletion shows that the session's lease has ended, before a renewal of
// the lease could show it.
type waiter struct {
	c       contender
	ctx     context.Context // of the watch of the contender's own key
	own     clientv3.WatchChan
	ownGone bool
	at      position
}

// look reads the contender's key and the key right before it, and updates the contender's position.
// It returns the Change to wait for, or nil if the contender is first. It returns ErrSessionExpired
// if the contender's key is gone.
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

// changed waits until one of the two keys is deleted, and then returns true. It returns false if a
// watch ends first.
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

// deleted waits until a key is deleted after the revision rev, and then returns true. It returns
// false if the watch ends first.
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
