package retry

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// maxTokenTries bounds how often one request is refused for its token. If a token is refused right
// after it was issued, a third one rarely helps.
const maxTokenTries = 4

// loop repeats one request from its first failure on. Requests that succeed at once have none.
type loop struct {
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
	result     error // what the caller gets once shouldRetry has returned false
}

func (c *Conn) newLoop(ctx context.Context, method string, req any) *loop {
	merged, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.cfg.Life, cancel)
	return &loop{
		conn: c, method: method, policy: policyOf(ctx, method, req),
		caller: ctx, ctx: merged,
		end: func() { stop(); cancel() },
	}
}

// shouldRetry decides whether another attempt follows one that failed with err, and waits until it
// is due. If it returns false, result is set. seen is the token's generation before the attempt.
func (s *loop) shouldRetry(err error, a *attempt, seen uint64) bool {
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

// ended reports whether the request's context or the client is done, and sets result accordingly.
// The context's own error is returned because programs compare it with ==; Client.ConnectionError
// explains why there was no connection.
func (s *loop) ended() bool {
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

// canRepeat decides whether the policy allows another attempt after err, which is not about the
// token. A write that was refused with "too many requests" was not proposed. It is sent at most
// once to each other member, because that one may have caught up.
func (s *loop) canRepeat(err error, sent bool) bool {
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

// wait returns zero while there are endpoints that were not asked yet, and after the first refusal
// of a token. Then it grows. After "too many requests" it grows from the first refusal on, so that
// the member has time to catch up.
func (s *loop) wait(forToken, tooMany bool) time.Duration {
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

// renewToken replaces the token that was refused, and reports whether another attempt makes sense.
// A request authenticated by its certificate has no token. It may be tried again, because the
// server's own view of the user was out of date. A new token may have been sent to a member that
// does not know it yet; another login would only prolong that.
func (s *loop) renewToken(err error, seen uint64) bool {
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
		// The source has only one token, or the login was not answered.
	default:
		s.result = refresh // the server's answer to the login
	}
	return false
}
