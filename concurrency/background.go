package concurrency

import (
	"context"
	"time"
)

// goBackground runs f, which must end with the session, on a goroutine of its own.
// It reports false, and does nothing, once the session is closed.
func (s *session) goBackground(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goLocked(f)
}

func (s *session) goLocked(f func()) bool {
	if s.closed {
		return false
	}
	// Ends with the session's context or that of its chores, which Close ends; Close
	// waits.
	s.background.Go(f)
	return true
}

// choresLocked returns the context of clean-up. It ends when the session is
// closed, with the client, and a TTL after the session has ended in any other
// way, when there is nothing left to clean up.
func (s *session) choresLocked() context.Context {
	if s.chores != nil {
		return s.chores
	}
	ctx, cancel := context.WithCancel(s.base)
	dropClient := context.AfterFunc(s.client.Ctx(), cancel)
	dropSession := context.AfterFunc(s.ctx, func() { time.AfterFunc(s.ttl, cancel) })
	context.AfterFunc(ctx, func() { dropClient(); dropSession() })
	s.chores, s.stopChores = ctx, cancel
	return ctx
}

// stop ends what goes on in the background, and lets nothing begin from then on.
func (s *session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.stopChores != nil {
		s.stopChores()
	}
}
