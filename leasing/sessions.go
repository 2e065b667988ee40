package leasing

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/await"
)

// closeTimeout limits how long the function that closes the KV tries to revoke the session's lease.
const closeTimeout = 5 * time.Second

// session is a concurrency.Session of the KV, together with its epoch, the time in which keys can
// be acquired with the session's lease.
type session struct {
	*concurrency.Session
	epoch *epoch
	// renewals has the answers to the renewals of the lease. It is closed when the epoch's context
	// ends.
	renewals <-chan *clientv3.LeaseKeepAliveResponse
	cancel   context.CancelFunc // ends the epoch's context
}

// close ends the session and all work for its keys, and revokes the lease. It returns within the
// lease's TTL.
func (s *session) close() {
	s.cancel()
	_ = s.Close() // without a revocation the lease expires by itself
}

// grants is the clientv3.Lease with which sessions are made. It records the ID of the lease that
// was granted last. When the KV is closed, it ends a call of Grant that is under way. The context
// of that call is from the user's session options, and may live longer. Sessions are made one at a
// time, so no mutex guards the field last.
type grants struct {
	clientv3.Lease
	ctx  context.Context
	last clientv3.LeaseID // 0 if no lease was granted, because the options give a lease
}

func (g *grants) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	ctx, release := await.Join(ctx, g.ctx)
	defer release()
	resp, err := g.Lease.Grant(ctx, ttl)
	if err == nil {
		g.last = resp.ID
	}
	return resp, err
}

// Close does nothing: the embedded Lease belongs to the user's client.
func (g *grants) Close() error { return nil }

// sessions makes the sessions of a KV, one after the other.
type sessions struct {
	// read-only after newSessions
	client  *clientv3.Client // the client that sessions are made with
	grants  *grants          // the Lease of the client in the field client
	options []concurrency.SessionOption
	ctx     context.Context // ends when stop is called or the user's client ends
	cancel  context.CancelFunc

	// safe for concurrent use
	running sync.WaitGroup // counts the goroutine that runs serve
}

func newSessions(cl *clientv3.Client, options []concurrency.SessionOption) *sessions {
	ss := &sessions{options: options}
	ss.ctx, ss.cancel = context.WithCancel(cl.Ctx())
	ss.grants = &grants{Lease: cl.Lease, ctx: ss.ctx}
	ss.client = clientv3.NewCtxClient(cl.Ctx(), clientv3.WithZapLogger(cl.GetLogger()),
		func(c *clientv3.Client) { c.Lease = ss.grants })
	return ss
}

// open makes a session. It also renews the session's lease once, to learn until when the lease
// certainly lives. open may return a session together with an error. The caller must then close or
// discard the session.
func (ss *sessions) open() (*session, error) {
	cs, err := concurrency.NewSession(ss.client, ss.options...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := await.Join(cs.Ctx(), ss.ctx)
	s := &session{Session: cs, cancel: cancel}
	s.epoch = &epoch{lease: cs.Lease(), ctx: ctx, isGiven: cs.Lease() != ss.grants.last}
	if err := ss.keepAlive(s); err != nil {
		// If the session's context has ended, its cause is the reason of the failure.
		return s, cmp.Or(context.Cause(cs.Ctx()), err)
	}
	return s, nil
}

// keepAlive subscribes to the renewals of a session's lease. It also renews the lease once itself,
// to learn until when the lease certainly lives. The subscription may not show this yet, because it
// may have missed the answer to the session's first renewal.
func (ss *sessions) keepAlive(s *session) error {
	ctx, end := clientv3.WithKeepAliveEnd(s.epoch.ctx)
	renewals, err := ss.client.KeepAlive(ctx, s.epoch.lease)
	if err != nil {
		return err
	}
	sent := time.Now()
	resp, err := ss.client.KeepAliveOnce(s.epoch.ctx, s.epoch.lease)
	if err != nil {
		return err
	}
	s.renewals, s.epoch.keepAliveEnd = renewals, end
	ttl := time.Duration(min(resp.TTL, clientv3.MaxLeaseTTL)) * time.Second
	s.epoch.certainUntil = sent.Add(ttl)
	return nil
}

// serve keeps the KV in a session, beginning with s. At the start of each session and after each
// renewal of its lease, it looks for orphans: lease keys that no ownership records. When the
// session is lost, serve ends the cache's epoch. It then makes a new session, and starts a new
// epoch with it. serve returns when stop is called, or when no session can be made any more.
func (ss *sessions) serve(s *session, ow *owner) {
	for {
		ow.releaseOrphans(s.epoch)
		for range s.renewals {
			ow.releaseOrphans(s.epoch)
		}
		ow.cache.endEpoch()
		s.close()
		if s = ss.next(); s == nil {
			return
		}
		ow.cache.startEpoch(s.epoch)
	}
}

// next makes a session. It tries again until it succeeds. It returns nil if stop was called, or if
// the client or the context in the session's options has ended.
func (ss *sessions) next() (s *session) {
	_ = await.Loop(ss.ctx, nil, func(context.Context) (_ await.Change, err error) {
		if s, err = ss.open(); err != nil && s != nil {
			s.close()
			s = nil
		}
		return nil, err
	}, func(err error) bool {
		// The error of a context is final: no session can be made after the context has ended.
		// ErrSessionExpired is not final, even if it comes together with the error of a context,
		// because a new session may live longer.
		return !errors.Is(err, concurrency.ErrSessionExpired) &&
			(errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
	})
	return s
}

// discard ends a session that open has returned together with an error. s may be nil. A lease from
// the session options is the user's, and stays as it is. A granted lease is revoked, for which
// discard waits up to closeTimeout. If the session's context has ended, discard returns at once and
// lets the granted lease expire.
func (ss *sessions) discard(s *session) {
	switch {
	case s == nil:
	case s.epoch.isGiven: // the lease is from the session options
		s.cancel()
		s.Orphan()
	default:
		defer time.AfterFunc(closeTimeout, func() { _ = ss.client.Close() }).Stop()
		if s.Ctx().Err() != nil {
			_ = ss.client.Close()
		}
		s.close()
	}
}

// stop makes the method serve end its session and return, and waits for that. It also waits for the
// goroutines that the WaitGroup others counts. The end of the session ends these goroutines, too.
func (ss *sessions) stop(others *sync.WaitGroup) {
	defer time.AfterFunc(closeTimeout, func() { _ = ss.client.Close() }).Stop()
	ss.cancel()
	ss.running.Wait()
	others.Wait()
	_ = ss.client.Close()
}
