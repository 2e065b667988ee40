package concurrency

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/keystate"
	"go.etcd.io/etcd/client/v3/internal/retry"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// contender is a session's place in the queue for a prefix. Each session has one
// key there, named by its lease. Keys are ordered by their create revisions: the
// first one has the lock or leads, and each other one waits for the deletion of the
// one right before it. All clients of a cluster must agree on this.
type contender struct {
	s   *session
	pfx string // with the slash that ends it
	key string

	// What the values of the session's key begin with: the session's nonce for a mutex, "" for a
	// candidate, whose value is the user's.
	mark string
}

func newContender(s *Session, pfx string) contender {
	pfx += "/"
	return contender{s: s.session, pfx: pfx, key: fmt.Sprintf("%s%x", pfx, s.Lease())}
}

// The value of a mutex's key is a session's mark and one of these.
const (
	isMade  = "/made"  // by that session
	isFound = "/found" // by that session, and made by another one on the same lease
)

// position is where a contender is in its queue, as one transaction saw it.
type position struct {
	hdr     *pb.ResponseHeader
	version keystate.Version // of the contender's key
	ahead   string           // the key right before it, or one further ahead; "" for the first
	found   *mvccpb.KeyValue // the contender's key, if the transaction did not make it

	incarnation *keystate.Incarnation // the record of the contender's key, of which it is a user
}

// rev is the create revision of the contender's key.
func (p position) rev() int64 { return p.version.Create }

// errOccupied is returned by tryEnter if another contender is first.
var errOccupied = errors.New("concurrency: there are other contenders")

// enter puts the contender's key or finds it, and becomes a user of it.
func (c contender) enter(ctx context.Context, val string) (position, error) {
	return c.put(ctx, val, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.key), "=", 0)},
		// The last two keys are then the contender's own and the one right before it.
		[]clientv3.Op{c.putOp(val), clientv3.OpGet(c.pfx,
			append(clientv3.WithLastCreate(), clientv3.WithLimit(2))...)},
		c.getOwnAndFirst()))
}

// tryEnter is enter for the first position only. If another contender has that, it puts nothing and
// returns errOccupied, unless the contender's key was there before.
func (c contender) tryEnter(ctx context.Context, val string) (position, error) {
	return c.put(ctx, val, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.pfx), "=", 0).WithPrefix()},
		[]clientv3.Op{c.putOp(val), clientv3.OpGet(c.key)},
		c.getOwnAndFirst()))
}

func (c contender) putOp(val string) clientv3.Op {
	return clientv3.OpPut(c.key, val, clientv3.WithLease(c.s.lease))
}

// getOwnAndFirst gets the contender's key and the first one.
func (c contender) getOwnAndFirst() []clientv3.Op {
	return []clientv3.Op{clientv3.OpGet(c.key),
		clientv3.OpGet(c.pfx, clientv3.WithFirstCreate()...)}
}

// put puts the contender's key with val, or finds it. If the key must not be used, because it is
// due for deletion, put deletes it and tries again. txn puts val and then gets the contender's key,
// or else gets what getOwnAndFirst returns.
func (c contender) put(ctx context.Context, val string, txn clientv3.Op) (position, error) {
	for {
		c.s.update(c.key, (*keystate.State).Begin)
		p, err := c.putMarked(ctx, val, txn)
		if err != nil {
			c.s.waitCleanedUp(c.key)
			return position{}, err
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

// putMarked runs the transaction until the key has the contender's mark. If it fails, it has told
// the state of the key.
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

// putMark puts the contender's mark on a key that another session on the same lease has made, and
// that the other session may be about to delete: that deletes nothing then. It returns p as it was
// if the key is gone.
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

// failed returns what a put of val that failed with err means for its key. What was refused or not
// sent has no effect. What an orphan's put makes is left to its lease, as another session may use
// it. So is what a candidate's put makes on a lease that was given: its value would not prove that
// this session has made it.
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

// readOwnAndFirst reads the answers to getOwnAndFirst.
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

// readOwnAndOther reads the answers to gets of the contender's key and of another one of the queue,
// of which it returns the name. They are nil and "" if there are none.
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

// nameInQueue returns the name of the first key, or "" if there is none. A server that names a key
// that is not in the queue has not answered the request, and must not make a lock seem free.
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

// abandon gives a position up. If the cluster is in good health the key is deleted when abandon
// returns; otherwise clean-up goes on in the background.
func (c contender) abandon(p position) {
	c.s.update(c.key, func(k *keystate.State) { k.Release(p.incarnation) })
	c.s.waitCleanedUp(c.key)
}
