package concurrency

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/keystate"
)

// Election chooses one leader among the sessions that campaign, in the order in which they became
// candidates. Each candidate has a value, which it may change and which every client may observe.
//
// An Election is between sessions, not between goroutines: all Elections that one session makes
// with the same prefix are one candidate, with one key.
//
// A leader that is suspended or cut off can lose the leadership without noticing. Another candidate
// then leads. So a leader should write in transactions with this condition: the create revision of
// the key [Election.Key] is [Election.Rev]. Rev is also a fencing token for writes to other
// systems.
//
// The methods are safe for concurrent use. A copy of an Election shares the state of the original.
type Election struct {
	contender      // read-only after NewElection
	*electionState // nil in the zero Election, which cannot be used to campaign
}

// electionState is the state that all copies of an Election share.
type electionState struct {
	hdr atomic.Pointer[pb.ResponseHeader]

	// guarded by mu
	mu        sync.Mutex
	candidacy candidacy
}

// candidacy describes the session's key in the queue of an election.
type candidacy struct {
	key string // "" if the session is no candidate
	rev int64  // create revision of key

	incarnation *keystate.Incarnation // counts the calls that use the key; nil after ResumeElection
}

// NewElection returns an election among the keys that begin with pfx and a slash. It sends no
// request. The name of the session's key is pfx, a slash, and the ID of the session's lease in
// hexadecimal.
func NewElection(s *Session, pfx string) *Election {
	return &Election{contender: newContender(s, pfx), electionState: &electionState{}}
}

// ResumeElection returns an election in which the session is already the leader, for instance after
// a restart. leaderKey and leaderRev are what Key and Rev of the earlier Election returned. s must
// be made with the option [WithLease] and the lease of the earlier session.
func ResumeElection(s *Session, pfx string, leaderKey string, leaderRev int64) *Election {
	e := NewElection(s, pfx)
	e.candidacy = candidacy{key: leaderKey, rev: leaderRev}
	return e
}

// Campaign makes the session a candidate with the value val, and waits until it leads. If the
// session is a candidate already, it keeps its key, and the key gets the value val. Campaign also
// returns when ctx, the session or the client ends. If it returns nil, the session's key was the
// first in the queue.
//
// Errors:
//
//   - the error of ctx
//   - [ErrSessionExpired], also if Resign or another client has deleted the key
//   - any error of the requests that put the session's key or change its value
//   - while Campaign waits in the queue: an error of [clientv3.KV] that a later attempt cannot
//     clear
//
// After an error, a session that was a candidate before the call is still one. Any other session is
// no candidate, and its key is deleted, as after a failed [Mutex.Lock].
func (e *Election) Campaign(ctx context.Context, val string) error {
	if err := cmp.Or(ctx.Err(), e.s.over()); err != nil {
		return err
	}
	inner, cancel := e.s.within(ctx)
	defer cancel()
	p, err := e.enter(inner, val)
	if err != nil {
		return e.s.failure(ctx, inner, err)
	}
	before := e.stand(p)
	if err = e.win(inner, p, val); err != nil {
		if !before {
			e.forget(p.rev())
			e.abandon(p)
		}
		return e.s.failure(ctx, inner, err)
	}
	return nil
}

// stand records that the session is a candidate with the key that p describes. Resign uses this
// record. A record of a newer key is not replaced. stand reports whether there was a record of this
// key or of a newer key.
//
// A record counts as a user of its key, because clean-up deletes keys without users. The new record
// takes over the use from the caller, and the use by the old record ends. If a newer record stays,
// the caller's use ends.
func (e *Election) stand(p position) (before bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.candidacy
	before = old.key == e.key && old.rev >= p.rev()
	superfluous := old.incarnation
	if before && old.rev > p.rev() {
		superfluous = p.incarnation
	} else {
		e.candidacy = candidacy{key: e.key, rev: p.rev(), incarnation: p.incarnation}
	}
	if superfluous != nil {
		e.s.update(e.key, func(k *keystate.State) { k.Release(superfluous) })
	}
	return before
}

// win waits until the candidate leads. Before that it sets the value of the candidate's key to val,
// if the key existed already and had another value.
func (e *Election) win(ctx context.Context, p position, val string) error {
	if p.found != nil && string(p.found.Value) != val {
		if err := e.proclaim(ctx, candidacy{key: e.key, rev: p.rev()}, val); err != nil {
			if errors.Is(err, ErrElectionNotLeader) {
				return ErrSessionExpired
			}
			return err
		}
	}
	p, err := e.waitForTurn(ctx, p)
	if err == nil {
		e.hdr.Store(p.hdr)
	}
	return err
}

// forget removes the record of a candidacy that has ended. rev is the revision at which the
// candidate's key was created. Election.Rev still returns rev.
func (e *Election) forget(rev int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.candidacy.rev == rev {
		e.candidacy = candidacy{rev: rev}
	}
}

// Proclaim changes the value of the session's key, without a new election. The session may lead or
// wait.
//
// Errors: [ErrElectionNotLeader] if the session is no candidate, or its key is gone; those of
// [clientv3.KV]. After an error of [clientv3.KV] the value may have changed, and the session stays
// a candidate.
func (e *Election) Proclaim(ctx context.Context, val string) error {
	held := e.current()
	if held.key == "" {
		return ErrElectionNotLeader
	}
	inner, cancel := e.s.within(ctx)
	defer cancel()
	if err := e.proclaim(inner, held, val); err != nil {
		return e.s.failure(ctx, inner, err)
	}
	return nil
}

func (e *Election) proclaim(ctx context.Context, held candidacy, val string) error {
	resp, err := e.s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(held.key), "=", held.rev)).
		Then(clientv3.OpPut(held.key, val, clientv3.WithLease(e.s.lease))).
		Commit()
	if err != nil {
		return err
	}
	if !resp.Succeeded {
		e.ended(held)
		return ErrElectionNotLeader
	}
	e.hdr.Store(resp.Header)
	return nil
}

// ended is called when the key of a candidacy does not exist any more. It updates the state of the
// key, and removes the record of the candidacy.
func (e *Election) ended(held candidacy) {
	if held.key == e.key {
		e.s.update(e.key, func(k *keystate.State) {
			k.Deleted(keystate.Version{Create: held.rev})
		})
	}
	e.forget(held.rev)
}

// Resign ends the session's candidacy. If the session leads, the next candidate then leads. Resign
// deletes only the key of this candidacy, not a later key of the same name. It returns nil if the
// session is no candidate, or if the key is gone. Errors are those of [clientv3.KV].
//
// After an error, even that of a context that has ended, the session repeats the deletion in the
// background. It ends when the deletion succeeds, or one TTL after the end of the session. Key and
// Rev keep their values. Resign may be called again to wait for the deletion.
func (e *Election) Resign(ctx context.Context) (err error) {
	held := e.current()
	if held.key == "" {
		return nil
	}
	resp, err := e.s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(held.key), "=", held.rev)).
		Then(clientv3.OpDelete(held.key)).
		Commit()
	if err != nil {
		e.s.update(held.key, func(k *keystate.State) {
			k.Delete(keystate.New(keystate.Version{Create: held.rev}))
		})
		return e.s.failure(ctx, ctx, err)
	}
	e.ended(held)
	e.hdr.Store(resp.Header)
	return nil
}

// Leader returns the key and value of the current leader, as the first of the response's Kvs. It is
// a linearizable read. Errors: [ErrElectionNoLeader] if there are no candidates, and those of
// [clientv3.KV].
func (e *Election) Leader(ctx context.Context) (*clientv3.GetResponse, error) {
	if e.s == nil {
		return nil, ErrElectionNoLeader
	}
	resp, err := e.s.client.Get(ctx, e.pfx, clientv3.WithFirstCreate()...)
	if err != nil {
		return nil, err
	}
	if len(resp.Kvs) == 0 || resp.Kvs[0] == nil {
		return nil, ErrElectionNoLeader
	}
	return resp, nil
}

func (e *Election) current() candidacy {
	if e.electionState == nil {
		return candidacy{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.candidacy
}

// Key returns the key of the session's candidacy, or "" if the session is no candidate.
func (e *Election) Key() string { return e.current().key }

// Rev returns the create revision of the key of the session's last candidacy, and 0 before the
// first candidacy. It is a fencing token: each later leader has a greater revision.
func (e *Election) Rev() int64 { return e.current().rev }

// Header returns the header of the response to the last successful Campaign, Proclaim or Resign, or
// nil. The caller must not change it.
func (e *Election) Header() *pb.ResponseHeader {
	if e.electionState == nil {
		return nil
	}
	return e.hdr.Load()
}
