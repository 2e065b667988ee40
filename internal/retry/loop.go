package retry

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// maxTokenTries bounds how often one request may be refused for its token. Refusals do not count if
// the token is so new that the member may not know it. If a token is refused right after it was
// issued, another one rarely helps.
const maxTokenTries = 4

// loop decides about the attempts at one request after the first has failed. A request that
// succeeds at once has no loop.
type loop struct {
	conn   *Conn
	method string
	policy policy
	caller context.Context // the request's context
	ctx    context.Context // descends from caller; ends with the client too
	end    func()          // releases ctx

	attempts   uint  // number of attempts that have failed
	tokenTries int   // attempts refused for their token
	crowded    int   // attempts refused with "too many requests"
	sent       bool  // an attempt may have left the client
	result     error // the request's error once shouldRetry has returned false
}

// newLoop returns the loop of a request with ctx whose first attempt was a. The caller calls its
// end.
func (c *Conn) newLoop(ctx context.Context, a *attempt) *loop {
	s := &loop{conn: c, method: a.method, policy: a.policy, caller: ctx}
	s.ctx, s.end = await.Join(ctx, c.cfg.Life)
	return s
}

// shouldRetry reports whether another attempt must follow one that failed with err, and blocks
// until that attempt is due. If it returns false, it has set result. seen is the token's generation
// before the attempt.
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
	if !forToken && !s.canRepeat(err, a.sent(), tooMany) || s.attempts >= s.conn.cfg.MaxAttempts {
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

// ended reports whether the request's context or the client has ended. If so, it sets result to the
// context's own error, because programs compare that with ==, or to Config.Closed.
// Client.ConnectionError explains why there was no connection.
func (s *loop) ended() bool {
	over := s.conn.over(s.caller)
	s.result = cmp.Or(over, s.result)
	return over != nil
}

// canRepeat reports whether the policy allows another attempt after err, which is not about the
// token. tooMany says that err is "too many requests": a write refused with that was not proposed.
// Other members may have less to apply, so the write is sent at most once to each of them.
func (s *loop) canRepeat(err error, sent, tooMany bool) bool {
	endpoints := s.conn.cfg.Endpoints()
	if classify.IsLearnerRefusal(err) && endpoints < 2 {
		return false
	}
	switch s.policy {
	case read, login:
		return tooMany || classify.CanRepeatRead(err)
	case write:
		return tooMany && s.crowded < endpoints || classify.CanRepeatWrite(err, sent)
	default:
		return false
	}
}

// wait returns how long to wait before the next attempt. The first attempts, as many as there are
// endpoints, do not wait, and neither does the attempt after the first refusal of a token. Later
// waits grow. After "too many requests" they grow from the first refusal on, so that the member has
// time to catch up.
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
// If the member may not know a new token yet, the request is tried again with that token: another
// login would only make a token that is newer still. A request authenticated by a certificate has
// no token; it is tried again if the auth store changed while the server checked it.
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
