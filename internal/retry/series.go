package retry

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// maxTokenTries bounds how often one request asks for a new token: a token
// that is refused again right after it was issued is rarely cured by a third.
const maxTokenTries = 4

// series follows one request from its first failure on. It exists only for
// requests that failed.
type series struct {
	conn   *Conn
	method string
	policy policy
	caller context.Context // the request's own
	ctx    context.Context // caller's, ended by the client's closing too
	end    func()          // releases ctx

	attempts   uint  // made so far
	tokenTries int   // of these, refused for their token
	crowded    int   // of these, refused with "too many requests"
	sent       bool  // one of these may have left the client
	result     error // what the caller gets once follow has said no
}

func (c *Conn) newSeries(ctx context.Context, method string, req any) *series {
	merged, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.cfg.Life, cancel)
	return &series{
		conn: c, method: method, policy: policyOf(ctx, method, req),
		caller: ctx, ctx: merged,
		end: func() { stop(); cancel() },
	}
}

// follow decides what comes after an attempt that failed with err, and waits
// until the next one is due. Where it returns false, result is set.
//
// seen is the token's generation as it was before the attempt.
func (s *series) follow(err error, a *attempt, seen uint64) bool {
	s.attempts++
	s.sent = s.sent || a.sent()
	s.result = err
	if s.ended() {
		return false
	}
	forToken := classify.IsAuthRefresh(err) && s.policy != once && s.policy != login
	tooMany := classify.IsTooManyRequests(err)
	if tooMany {
		s.crowded++
	}
	if !forToken && !s.canRepeat(err, a.sent()) || s.attempts >= s.conn.cfg.MaxAttempts {
		return false
	}
	if s.conn.cfg.Retrying != nil {
		s.conn.cfg.Retrying(s.method, s.attempts, err)
	}
	if forToken && !s.renewToken(err, seen) {
		return false
	}
	if backoff.Wait(s.ctx, s.wait(forToken, tooMany)) != nil {
		s.ended()
		return false
	}
	return true
}

// ended tells whether the request's context or the client is done, and sets
// result accordingly: the context's own error says all, as programs compare it
// with ==. Why there was no connection is for Client.ConnectionError to say.
func (s *series) ended() bool {
	switch over := s.caller.Err(); {
	case over != nil:
		s.result = over
		return true
	case s.conn.cfg.Life.Err() != nil:
		s.result = s.conn.cfg.Closed
		return true
	}
	return false
}

// canRepeat decides on an attempt that failed with err, for which no token is to
// blame. A write that was refused with "too many requests" was not proposed; it is
// sent at most once to each of the other members, which may have caught up.
func (s *series) canRepeat(err error, sent bool) bool {
	endpoints := s.conn.cfg.Endpoints()
	if classify.IsLearnerRefusal(err) && endpoints < 2 {
		return false
	}
	tooMany := classify.IsTooManyRequests(err)
	switch s.policy {
	case read, login:
		return tooMany || classify.CanRepeatRead(err)
	case write:
		return tooMany && s.crowded < endpoints || classify.CanRepeatWrite(err, sent)
	default:
		return false
	}
}

// wait is zero as long as there are endpoints that were not asked yet, and
// after the first refusal of a token; from then on it grows. A member that has too
// many requests gets time from the first refusal on.
func (s *series) wait(forToken, tooMany bool) time.Duration {
	if tooMany {
		return s.conn.cfg.Backoff.Delay(s.crowded - 1)
	}
	free := uint(1)
	if !forToken {
		free = uint(max(s.conn.cfg.Endpoints(), 1)) - 1
	}
	if s.attempts <= free {
		return 0
	}
	return s.conn.cfg.Backoff.Delay(int(s.attempts - free - 1))
}

// renewToken gets a token other than the refused one. A request without any
// token, authenticated by its certificate, has nothing to renew but may be
// tried again, because the server's own view of the user was out of date. One
// with a new token may have met a member that had not heard of it: another
// login would only lengthen that.
func (s *series) renewToken(err error, seen uint64) bool {
	tokens := s.conn.cfg.Tokens
	if tokens != nil && tokens.Fresh(seen) && !classify.IsAuthOldRevision(err) {
		return true
	}
	s.tokenTries++
	if s.tokenTries >= maxTokenTries {
		return false
	}
	if tokens == nil {
		return classify.IsAuthOldRevision(err)
	}
	refresh := tokens.Refresh(s.ctx, seen)
	if refresh == nil {
		return true
	}
	if s.ended() {
		return false
	}
	switch classify.Code(refresh) {
	case codes.Unknown, codes.Canceled, codes.DeadlineExceeded:
		// a source that has one token only; a login without answer
	default:
		s.result = refresh // the server's answer to the login
	}
	return false
}
