package concurrency

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/retry"
)

// contender is a session's place in the queue for a prefix. Each session has one
// key there, named by its lease. Keys are ordered by their create revisions: the
// first one has what is contended for, and each waits for the one right before
// it to be deleted. All clients of a cluster must agree on this.
type contender struct {
	s   *session
	pfx string // with the slash that ends it
	key string

	// What the value of the key begins with where it is the session's: that of a mutex.
	// A candidate's is the user's, and mark is "".
	mark string
}

func newContender(s *Session, pfx string) contender {
	pfx += "/"
	return contender{s: s.session, pfx: pfx, key: fmt.Sprintf("%s%x", pfx, s.Lease())}
}

// Values of a mutex's key are its session's mark and one of these. The second one
// replaces the mark of another session on the same lease, which made the key.
const (
	isMade  = "/made"
	isFound = "/found"
)

// place is where a contender stands, as one transaction saw it.
type place struct {
	hdr   *pb.ResponseHeader
	rev   int64            // create revision of the contender's key
	ahead string           // the key right before it, or one further ahead; "" for the first
	found *mvccpb.KeyValue // the contender's key, where it was there before
}

// errOccupied is tryEnter's answer where another contender is first.
var errOccupied = errors.New("concurrency: there are other contenders")

// enter puts the contender's key, or finds it there, and claims it.
func (c contender) enter(ctx context.Context, val string) (place, error) {
	return c.put(ctx, val, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.key), "=", 0)},
		// The last two keys are then the contender's own and the one right before it.
		[]clientv3.Op{c.putOp(val), clientv3.OpGet(c.pfx,
			append(clientv3.WithLastCreate(), clientv3.WithLimit(2))...)},
		c.whereabouts()))
}

// tryEnter is enter for the first place only. Where that is not to be had, it
// returns errOccupied, and nothing is put.
func (c contender) tryEnter(ctx context.Context, val string) (place, error) {
	return c.put(ctx, val, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.pfx), "=", 0).WithPrefix()},
		[]clientv3.Op{c.putOp(val), clientv3.OpGet(c.key)},
		c.whereabouts()))
}

func (c contender) putOp(val string) clientv3.Op {
	return clientv3.OpPut(c.key, val,
		clientv3.WithLease(c.s.lease))
}

// whereabouts are the contender's key and the first one.
func (c contender) whereabouts() []clientv3.Op {
	return []clientv3.Op{clientv3.OpGet(c.key),
		clientv3.OpGet(c.pfx, clientv3.WithFirstCreate()...)}
}

// put runs a transaction that puts the contender's key, or finds it, until that is
// an incarnation to rely on. Its then-ops are the put of val and a get that begins with
// the key, its else-ops whereabouts.
func (c contender) put(ctx context.Context, val string, txn clientv3.Op) (place, error) {
	for {
		c.s.update(c.key, func(k *slot) { k.mark = c.mark; k.begin() })
		p, err := c.putMarked(ctx, val, txn)
		if err != nil {
			c.s.waitCleared(c.key)
			return place{}, err
		}
		claimed := false
		c.s.update(c.key, func(k *slot) { claimed = k.claim(p.rev, p.found == nil, c.isOthers(p)) })
		if claimed {
			return p, nil
		}
		if err := c.s.deleteKey(ctx, c.key, p.rev); err != nil {
			return place{}, err
		}
	}
}

// putMarked is one put that ends with the session's mark on the key, or with an error,
// of which the session's slot has been told.
func (c contender) putMarked(ctx context.Context, val string, txn clientv3.Op) (place, error) {
	for {
		sending, proof := retry.WithProof(ctx)
		p, err := c.putOnce(sending, txn)
		if err != nil {
			c.s.update(c.key, c.failed(err, val, proof.NothingSent()))
			return place{}, err
		}
		if c.mark == "" || p.found == nil || bytes.HasPrefix(p.found.Value, []byte(c.mark)) {
			return p, nil
		}
		marked, err := c.takeOver(ctx, p.rev)
		if err != nil {
			c.s.update(c.key, (*slot).over)
			return place{}, err
		}
		if marked {
			return p, nil
		}
	}
}

// takeOver puts the session's mark on a key that another session on the same lease has
// made, and which it may be about to delete. It reports false where the key is gone.
func (c contender) takeOver(ctx context.Context, rev int64) (bool, error) {
	resp, err := c.s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(c.key), "=", rev)).
		Then(c.putOp(c.mark + isFound)).
		Commit()
	if err != nil {
		return false, err
	}
	return resp.Succeeded, nil
}

// isOthers reports whether a key that was found may be another session's work. A
// candidate's tells nothing: it counts as the session's where the lease is.
func (c contender) isOthers(p place) bool {
	switch {
	case p.found == nil:
		return false
	case c.mark == "":
		return !c.s.granted
	}
	return string(p.found.Value) != c.mark+isMade
}

// failed is what a put of val that failed with err did to its key. What was not sent
// has no effect. An orphan leaves puts with an unknown outcome to its lease, and so
// does a candidate on a lease that was given: the key may be another session's.
func (c contender) failed(err error, val string, unsent bool) func(*slot) {
	untold := errors.Is(context.Cause(c.s.ctx), errOrphaned) || c.mark == "" && !c.s.granted
	if unsent || untold || errors.Is(err, errOccupied) || classify.IsRefusal(err) {
		return (*slot).over
	}
	return func(k *slot) { k.lost(val) }
}

func (c contender) putOnce(ctx context.Context, txn clientv3.Op) (place, error) {
	answer, err := c.s.client.Do(ctx, txn)
	if err != nil {
		return place{}, err
	}
	resp := answer.Txn()
	if resp == nil {
		return place{}, errMalformed
	}
	if !resp.Succeeded {
		return c.foundPlace(resp)
	}
	kvs, err := rangeAnswer(resp, 1)
	if err != nil || len(kvs) == 0 || string(kvs[0].Key) != c.key || len(kvs) > 1 &&
		!c.isRival(kvs[1]) {
		return place{}, errMalformed
	}
	p := place{hdr: resp.Header, rev: kvs[0].CreateRevision}
	if len(kvs) > 1 {
		p.ahead = string(kvs[1].Key)
	}
	return p, nil
}

// foundPlace reads the answers to whereabouts.
func (c contender) foundPlace(resp *clientv3.TxnResponse) (place, error) {
	own, err := rangeAnswer(resp, 0)
	if err != nil {
		return place{}, err
	}
	first, err := rangeAnswer(resp, 1)
	if err != nil {
		return place{}, err
	}
	switch {
	case len(first) == 0 || !c.isRival(first[0]):
		return place{}, errMalformed
	case len(own) == 0:
		return place{}, errOccupied
	case string(own[0].Key) != c.key:
		return place{}, errMalformed
	}
	p := place{hdr: resp.Header, rev: own[0].CreateRevision, found: own[0]}
	if string(first[0].Key) != c.key {
		p.ahead = string(first[0].Key)
	}
	return p, nil
}

// isRival reports whether a key is one of those that are contended with. A server
// that names another one has not answered what it was asked.
func (c contender) isRival(kv *mvccpb.KeyValue) bool {
	return bytes.HasPrefix(kv.Key,
		[]byte(c.pfx))
}

// look finds the contender's place anew. It returns ErrSessionExpired where the
// key is gone.
func (c contender) look(ctx context.Context, rev int64) (place, error) {
	before := append(clientv3.WithLastCreate(), clientv3.WithMaxCreateRev(rev-1))
	resp, err := c.s.client.Txn(ctx).Then(clientv3.OpGet(c.key),
		clientv3.OpGet(c.pfx, before...)).Commit()
	if err != nil {
		return place{}, err
	}
	own, err := rangeAnswer(resp, 0)
	if err != nil {
		return place{}, err
	}
	ahead, err := rangeAnswer(resp, 1)
	if err != nil {
		return place{}, err
	}
	if len(own) == 0 || own[0].CreateRevision != rev {
		return place{}, ErrSessionExpired
	}
	p := place{hdr: resp.Header, rev: rev}
	if len(ahead) > 0 {
		if !c.isRival(ahead[0]) {
			return place{}, errMalformed
		}
		p.ahead = string(ahead[0].Key)
	}
	return p, nil
}

// abandon gives a place up. In good health it is free when abandon returns; where
// not, that goes on in the background.
func (c contender) abandon(rev int64) {
	c.s.update(c.key, func(k *slot) { k.release(rev) })
	c.s.waitCleared(c.key)
}
