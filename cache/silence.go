package cache

import (
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// askSilent is the wait before the next request for progress to a server that has not answered
// earlier ones.
var askSilent = backoff.Policy{Base: time.Second, Max: time.Minute}

// silence has for how long the server has not answered requests for progress. A server does not
// answer while the watch is catching up or is being opened again. A gRPC proxy never answers. A
// notice that cannot be trusted does not count as an answer.
type silence struct {
	since    time.Time // of the first request that was not answered; zero if all were
	next     time.Time // no request is sent before it
	requests int       // sent since the server is called silent
	answered bool      // the server has answered the stream, by a notice that can be trusted
}

// silent reports whether the server has left requests unanswered for so long that it may never
// answer.
func (s *silence) silent(now time.Time) bool {
	return !s.since.IsZero() && now.Sub(s.since) >= repeatAfter
}

// mayAsk reports whether a request may be sent.
func (s *silence) mayAsk(now time.Time) bool { return !now.Before(s.next) }

// asked records that a request was sent.
func (s *silence) asked(now time.Time) {
	if s.since.IsZero() {
		s.since = now
	}
	if s.silent(now) {
		s.answered = false
		s.next = now.Add(askSilent.Delay(s.requests))
		s.requests++
	}
}
