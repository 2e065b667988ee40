package balancer

import (
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// warnPeriod is the shortest time between two warnings that no endpoint can be
// reached.
const warnPeriod = time.Minute

// Failures records why the endpoints of one connection cannot be reached. A nil Failures
// records nothing.
type Failures struct {
	warn func() // called without a lock, at most once in warnPeriod

	// guarded by mu
	mu        sync.Mutex
	closed    bool                      // the connection is closed, so the record does not change
	connected map[balancer.SubConn]bool // the connected ones
	// of the last attempt to connect, by address; nil if it did not fail
	last   map[string]error
	warned time.Time
}

// NewFailures returns a Failures that calls warn, which must not block, when every
// endpoint has failed and no endpoint is connected, at most once a minute.
func NewFailures(warn func()) *Failures {
	return &Failures{warn: warn, connected: map[balancer.SubConn]bool{}, last: map[string]error{}}
}

type failuresKey struct{}

// With adds f to the attributes of a resolver's state, by which the policy finds it.
func (f *Failures) With(a *attributes.Attributes) *attributes.Attributes {
	if f == nil {
		return a
	}
	return a.WithValue(failuresKey{}, f)
}

// Last returns, by address, the error of the last attempt to connect to each endpoint. It is
// empty while any endpoint is connected.
func (f *Failures) Last() map[string]error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.connected) > 0 {
		return nil
	}
	out := maps.Clone(f.last)
	maps.DeleteFunc(out, func(_ string, err error) bool { return err == nil })
	return out
}

// retain forgets all endpoints except those at the given addresses.
func (f *Failures) retain(addresses []string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	last := make(map[string]error, len(addresses))
	for _, a := range addresses {
		last[a] = f.last[a]
	}
	f.last = last
}

// note records the state of a connection to an address.
func (f *Failures) note(conn balancer.SubConn, address string, state balancer.SubConnState) {
	if f != nil && f.update(conn, address, state) {
		f.warn()
	}
}

// update reports whether a warning is due.
func (f *Failures) update(conn balancer.SubConn, address string, state balancer.SubConnState) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	_, known := f.last[address] // false if the endpoint was removed
	switch state.ConnectivityState {
	case connectivity.Ready:
		f.connected[conn] = true
		if known {
			f.last[address] = nil
		}
		return false
	case connectivity.TransientFailure:
		if known {
			f.last[address] = state.ConnectionError
		}
	}
	delete(f.connected, conn)
	if !f.unreachableLocked() || !f.warned.IsZero() && time.Since(f.warned) < warnPeriod {
		return false
	}
	f.warned = time.Now()
	return true
}

func (f *Failures) unreachableLocked() bool {
	if len(f.connected) > 0 || len(f.last) == 0 {
		return false
	}
	for _, err := range f.last {
		if err == nil {
			return false
		}
	}
	return true
}

// close ends the record: closing the client ends connections, which is no failure.
func (f *Failures) close() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}
