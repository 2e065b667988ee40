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

// maxTokenTries is the number of refused tokens after which a request fails. So a request gets at
// most three new tokens. If servers refuse tokens that they have just issued, more tokens rarely
// help. A refusal does not count if the token is so new that the member may not know it yet.
const maxTokenTries = 4

// loop decides whether and when a request is sent again after its first attempt has failed. A
// request whose first attempt succeeds has no loop.
type loop struct {
	conn   *Conn
	method string
	policy policy
	caller context.Context // the context that the caller passed
	ctx    context.Context // derived from caller; also ends when the client is closed
	end    func()          // releases ctx

	attempts   uint  // number of attempts that have failed
	tokenTries int   // number of refused tokens, without those that a member may not know yet
	crowded    int   // attempts refused with "too many requests"
	sent       bool  // whether any attempt may have left the client
	result     error // the error of the request, once shouldRetry has returned false
}

// newLoop returns the loop of a request whose first attempt, a, has failed. ctx is the context of
// the request's caller. The caller of newLoop must call the loop's function end.
func (c *Conn) newLoop(ctx context.Context, a *attempt) *loop {
	s := &loop{conn: c, method: a.method, policy: a.policy, caller: ctx}
	s.ctx, s.end = await.Join(ctx, c.cfg.Life)
	return s
}

// shouldRetry reports whether the request must be sent again after the attempt a has failed with
// err. It blocks until the next attempt is due. If it returns false, s.result is the error of the
// request.
//
// seen is the generation (the number) of the token that the client had before the attempt a. If a
// server refused that token, shouldRetry gets a new one, unless another request has replaced it
// already.
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

// ended reports whether the request's context has ended or the client is closed. If so, it sets
// s.result to the context's own error or to Config.Closed. It does not wrap the context's error,
// because programs compare it with ==. Client.ConnectionError tells programs why there was no
// connection.
func (s *loop) ended() bool {
	over := s.conn.over(s.caller)
	s.result = cmp.Or(over, s.result)
	return over != nil
}

// canRepeat reports whether the policy allows another attempt after err. err is not a refusal of
// the token. If sent is set, the failed attempt may have left the client.
//
// If tooMany is set, err is "too many requests". A member refuses a write with that error before it
// proposes the write. So the write may be sent again: other members may be less busy. After as many
// such refusals as there are endpoints, the write fails.
//
// A learner's refusal allows another attempt only if there is another endpoint.
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

// wait returns how long to wait before the next attempt. The waits grow from attempt to attempt.
//   - If the member has answered "too many requests" (tooMany), there is always a wait, so that the
//     member can catch up. It grows with the number of such answers.
//   - If the token was refused (forToken), wait returns 0 only after the first attempt.
//   - After other errors, wait returns 0 while fewer attempts have failed than there are endpoints,
//     because another endpoint may serve the request.
func (s *loop) wait(forToken, tooMany bool) time.Duration {
	if tooMany {
		return s.conn.cfg.Backoff.Delay(s.crowded - 1)
	}
	free := uint(1) // the number of failed attempts that are not followed by a wait
	if !forToken {
		free = uint(max(s.conn.cfg.Endpoints(), 1)) - 1
	}
	if s.attempts <= free {
		return 0
	}
	return s.conn.cfg.Backoff.Delay(int(s.attempts - free - 1))
}

// renewToken gets a new token after a server has refused the token with err. It reports whether the
// request may be sent again. seen is the generation (the number) of the refused token. If that
// token is so new that the member may not know it yet, the request is sent again with it.
//
// A client without tokens may authenticate by its certificate. Then the request may be sent again
// only if the auth store changed while the server checked the request.
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
		// There is no new token. Either the program has set the token, and the client cannot log
		// in, or the login was not answered in time. The request's caller gets the error of the
		// refusal.
	default:
		s.result = refresh // the login's own error says why there is no new token
	}
	return false
}
