package etcdfake

import (
	"context"
	"time"

	"google.golang.org/grpc/status"
)

// Forever can be passed to Fail and FailAfterApply as the parameter times. All requests then fail
// until a call with times 0 clears the failures.
const Forever = -1

type failure struct {
	left int // how many more requests fail, or Forever
	err  error
}

// Fail makes the next requests of a method fail with err, before they have any effect. times is the
// number of requests that fail, or Forever. If times is 0, Fail clears all failures that it has set
// for the method. The failures of several calls are used up in the order of the calls.
//
// Streams fail when they are opened. If err is not a gRPC status, the client gets the code Unknown.
func (s *Server) Fail(method string, times int, err error) {
	m := s.method(method)
	m.touch(func() { m.before = addFailure(m.before, times, err) })
}

// FailAfterApply is like Fail, but the request takes effect, and only its answer is replaced by
// err. On a stream, the stream ends with err in place of its next answer.
func (s *Server) FailAfterApply(method string, times int, err error) {
	m := s.method(method)
	m.touch(func() { m.after = addFailure(m.after, times, err) })
}

// Delay makes every later request of a method, and each later message of a stream, wait for d
// before it takes effect or fails. If d is 0, later requests do not wait. A request whose context
// ends during the wait has no effect. With a very long d the server never answers.
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

// wait waits for the method's delay. It returns the gRPC status of the error of ctx if ctx ends
// first.
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
