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
	// Ends with the session's context or that of clean-up. Close ends both, and waits.
	s.background.Go(f)
	return true
}

// cleanUpLocked returns the context of clean-up. It ends when the session is closed, when the
// client is, and a TTL after any other end of the session: by then the lease has expired, unless
// another session keeps it.
func (s *session) cleanUpLocked() context.Context {
	if s.cleanUpCtx != nil {
		return s.cleanUpCtx
	}
	ctx, cancel := context.WithCancel(s.base)
	dropClient := context.AfterFunc(s.client.Ctx(), cancel)
	dropSession := context.AfterFunc(s.ctx, func() { time.AfterFunc(s.ttl, cancel) })
	context.AfterFunc(ctx, func() { dropClient(); dropSession() })
	s.cleanUpCtx, s.stopCleanUp = ctx, cancel
	return ctx
}

// stop ends what goes on in the background. From then on nothing begins.
func (s *session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.stopCleanUp != nil {
		s.stopCleanUp()
	}
}
