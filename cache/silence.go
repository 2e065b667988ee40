package cache

import (
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// askSilent is the wait before the next request for progress to a server that has not answered
// earlier requests.
var askSilent = backoff.Policy{Base: time.Second, Max: time.Minute}

// silence records for how long the server has not answered requests for watch progress.
//
// A server does not answer while it still has old events to send for the watch, or while the client
// opens the watch again. A gRPC proxy never answers. Some versions of etcd may send a notice of
// progress before older events. Such a notice does not count as an answer.
type silence struct {
	since    time.Time // when the first unanswered request was sent; zero if all were answered
	next     time.Time // no request is sent before this time
	requests int       // how many requests were sent while the method silent returned true
	// answered says that the server has answered a request on the stream of the open watch, and has
	// not been silent since.
	answered bool
}

// silent reports whether the server has left a request for progress unanswered for repeatAfter or
// longer. Such a server perhaps never answers.
func (s *silence) silent(now time.Time) bool {
	return !s.since.IsZero() && now.Sub(s.since) >= repeatAfter
}

// mayAsk reports whether a request for progress may be sent now.
func (s *silence) mayAsk(now time.Time) bool { return !now.Before(s.next) }

// asked records that a request for progress was sent.
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
