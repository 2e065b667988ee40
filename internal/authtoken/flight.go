package authtoken

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// flight is one Authenticate request and what came of it.
type flight struct {
	done chan struct{} // never sent on; closed by run
	err  error         // written before done is closed, read after
}

// join returns the request under way, started here if there is none. Without one to wait for, it
// returns nil and the result: nil if the token is no longer that of generation seen,
// context.Canceled if the source is closed.
func (s *Source) join(seen uint64) (*flight, error) {
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
	f := &flight{done: make(chan struct{})}
	s.pending = f
	s.flights.Add(1)
	// The request belongs to no caller, so no caller's goroutine runs it: that caller's context
	// could not end its wait without ending everybody's. Close stops it through s.ctx and waits for
	// it.
	go s.run(f)
	return f, nil
}

// run performs the request and publishes the token and the result in one step.
func (s *Source) run(f *flight) {
	defer s.flights.Done()
	token, err := s.authenticate(s.ctx)
	if err == nil && token == "" {
		err = errEmpty
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.storeLocked(token)
	case isNotEnabled(err):
		s.storeLocked("")
	case s.ctx.Err() != nil:
		f.err = context.Canceled
	default:
		f.err = err
	}
	s.pending = nil
	close(f.done)
}

// isNotEnabled reports whether the server said that it does not authenticate anybody.
func isNotEnabled(err error) bool {
	return errors.Is(err, rpctypes.ErrAuthNotEnabled) ||
		errors.Is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled)
}
