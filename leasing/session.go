package leasing

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// closeTimeout is how long the closing function goes on revoking the session's lease.
const closeTimeout = 5 * time.Second

// session is the session of one term.
type session struct {
	*concurrency.Session
	*term
	renewals <-chan *clientv3.LeaseKeepAliveResponse
	cancel   context.CancelFunc // ends the term's context
}

// grants is the Lease that sessions are made with. What is granted is granted within
// the life of the KV too: the sessions' options may carry a context of the user's. They
// may also name a lease, which is not granted then. Sessions are made one at a time.
type grants struct {
	clientv3.Lease
	ctx  context.Context
	last clientv3.LeaseID // that was granted
}

func (g *grants) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()
	resp, err := g.Lease.Grant(ctx, ttl)
	if err == nil {
		g.last = resp.ID
	}
	return resp, err
}

// Close does nothing: the Lease belongs to the user's client.
func (g *grants) Close() error { return nil }

// newSession makes a session whose lease is certain to live for a known time. It may
// return one beside an error, which is to be closed.
func (l *leasing) newSession() (*session, error) {
	cs, err := concurrency.NewSession(l.sessions, l.options...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(cs.Ctx())
	detach := context.AfterFunc(l.ctx, cancel)
	s := &session{Session: cs, term: &term{lease: cs.Lease(), ctx: ctx, isInherited: cs.Lease() != l.grants.last}, cancel: func() {
		detach()
		cancel()
	}}
	if err := l.keepAlive(s); err != nil {
		// rather than that the session's context has ended
		return s, cmp.Or(context.Cause(cs.Ctx()), err)
	}
	return s, nil
}

// keepAlive follows the renewals of a session. The first may have been answered
// already, so it renews the lease once more.
func (l *leasing) keepAlive(s *session) error {
	ctx, end := clientv3.WithKeepAliveEnd(s.term.ctx)
	renewals, err := l.sessions.KeepAlive(ctx, s.term.lease)
	if err != nil {
		return err
	}
	sent := time.Now()
	resp, err := l.sessions.KeepAliveOnce(s.term.ctx, s.term.lease)
	if err != nil {
		return err
	}
	s.renewals, s.term.end = renewals, end
	s.term.until = sent.Add(time.Duration(min(resp.TTL, clientv3.MaxLeaseTTL)) * time.Second)
	return nil
}

// isRenewed blocks until the lease is renewed once more, or is lost.
func (s *session) isRenewed() bool {
	_, ok := <-s.renewals // closed with the term's context too
	return ok
}

// close ends a session and revokes its lease. It returns within the TTL.
func (s *session) close() {
	s.cancel()
	// Whether it could be revoked or has yet to expire makes no difference here.
	_ = s.Close()
}

// run attends to a session whose term has begun, and to those that replace it when it
// is lost, until stop is called or no more sessions can be made.
func (l *leasing) run(s *session) {
	for {
		for l.evictStrays(s.term); s.isRenewed(); {
			l.evictStrays(s.term)
		}
		l.table.endTerm()
		s.close()
		if s = l.nextSession(); s == nil {
			return
		}
		l.table.startTerm(s.term)
	}
}

// nextSession makes a session, however long that takes. It returns nil when stop was
// called, and when the client or the context of the session's options has ended.
func (l *leasing) nextSession() *session {
	for attempt := 0; ; attempt++ {
		s, err := l.newSession()
		if err == nil {
			return s
		}
		if s != nil {
			s.close()
		}
		switch {
		case errors.Is(err, concurrency.ErrSessionExpired): // while it was made
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return nil
		}
		if backoff.Wait(l.ctx, repeatBackoff.Delay(attempt)) != nil {
			return nil
		}
	}
}

// evictStrays looks for lease keys of ours that no tenancy knows of: those of requests
// that were given up and applied all the same, and those that a lease had when it was
// given to us. Somebody may be waiting for them.
func (l *leasing) evictStrays(t *term) {
	if !l.table.hasStrays() {
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, requestTimeout)
	defer cancel()
	resp, err := l.sessions.TimeToLive(ctx, t.lease, clientv3.WithAttachedKeys())
	if err != nil {
		return // the next renewal brings another chance
	}
	for _, leaseKey := range resp.Keys {
		if key, ok := strings.CutPrefix(string(leaseKey), l.prefix); ok {
			l.evictStray(key) // unless it has a tenancy
		}
	}
}
