package etcdfake

import (
	"context"
	"time"

	"google.golang.org/grpc/status"
)

// Forever as the number of times keeps a failure until it is cleared with 0.
const Forever = -1

type failure struct {
	left int // Forever or how many more times
	err  error
}

// Fail makes the next requests of a method fail with err before they have any effect, times in
// number or Forever; a stream fails when it is opened. Failures set one after another are used up
// in that order; times 0 clears them all. An error that is not a gRPC status reaches the client as
// Unknown.
func (s *Server) Fail(method string, times int, err error) {
	m := s.method(method)
	m.touch(func() { m.before = addFailure(m.before, times, err) })
}

// FailAfterApply is like Fail, but the request takes effect and only its answer is replaced by err.
// On a stream the next answer is replaced by the end of the stream.
func (s *Server) FailAfterApply(method string, times int, err error) {
	m := s.method(method)
	m.touch(func() { m.after = addFailure(m.after, times, err) })
}

// Delay holds every later request of a method, and each message of a stream, back for d before it
// takes effect or fails; 0 ends that. A request whose context ends in the meantime has no
// effect, so a very long delay makes a mute server.
func (s *Server) Delay(method string, d time.Duration) {
	m := s.method(method)
	m.touch(func() { m.delay = d })
}

func (m *method) touch(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	m.touched.Store(true)
}

func addFailure(queue []failure, times int, err error) []failure {
	if times == 0 {
		return nil
	}
	return append(queue, failure{left: times, err: err})
}

func (m *method) failBefore() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return takeFailure(&m.before)
}

func (m *method) failAfter() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return takeFailure(&m.after)
}

func takeFailure(queue *[]failure) error {
	if len(*queue) == 0 {
		return nil
	}
	head := &(*queue)[0]
	err := head.err
	if head.left > 0 {
		if head.left--; head.left == 0 {
			*queue = (*queue)[1:]
		}
	}
	return err
}

// wait holds a request back for the method's delay.
func (m *method) wait(ctx context.Context) error {
	m.mu.Lock()
	d := m.delay
	m.mu.Unlock()
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}
