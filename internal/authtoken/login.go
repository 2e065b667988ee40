package authtoken

import (
	"context"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// login is one login and its result.
type login struct {
	done chan struct{} // closed by run; nothing is sent on it
	err  error         // written before done is closed, read afterwards
}

// join returns the login under way, or starts one. If there is nothing to wait for, it returns a
// nil login and the result of Refresh: nil if the token of generation seen was replaced, or
// context.Canceled if the source is closed.
func (s *Source) join(seen uint64) (*login, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.ctx.Err() != nil:
		return nil, context.Canceled
	case s.Generation() != seen:
		return nil, nil
	case s.pending != nil:
		return s.pending, nil
	}
	f := &login{done: make(chan struct{})}
	s.pending = f
	s.logins.Add(1)
	// Ends with s.ctx, and Close waits for it. No caller's goroutine runs the login, because the
	// end of that caller's context would fail all others.
	go s.run(f)
	return f, nil
}

// run performs the login. It publishes the token and the result in one step.
func (s *Source) run(f *login) {
	defer s.logins.Done()
	token, err := s.authenticate(s.ctx)
	if err == nil && token == "" {
		err = errEmpty
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.storeLocked(token)
	case classify.IsAuthNotEnabled(err):
		s.storeLocked("")
	case s.ctx.Err() != nil:
		f.err = context.Canceled
	default:
		f.err = err
	}
	s.pending = nil
	close(f.done)
}
