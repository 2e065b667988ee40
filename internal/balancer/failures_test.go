package balancer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// numberedConn is a connection that differs from others by its number.
type numberedConn struct {
	balancer.SubConn
	number int
}

// TestFailuresWarnOnceAMinute shows when a warning is given: as soon as all endpoints
// have failed and no endpoint is connected, and at most once a minute.
func TestFailuresWarnOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warnings := 0
		f := NewFailures(func() { warnings++ })
		f.retain([]string{"a", "b"})
		a, b := &numberedConn{number: 1}, &numberedConn{number: 2}
		refused, lost := errors.New("refused"), errors.New("lost")
		fail := func(c *numberedConn, address string, err error) {
			f.note(c, address, balancer.SubConnState{
				ConnectivityState: connectivity.TransientFailure, ConnectionError: err})
		}
		become := func(c *numberedConn, address string, state connectivity.State) {
			f.note(c, address, balancer.SubConnState{ConnectivityState: state})
		}

		fail(a, "a", refused)
		assert.Equal(t, 0, warnings, "b is still connecting")
		assert.Equal(t, map[string]error{"a": refused}, f.Last())
		become(b, "b", connectivity.Ready)
		fail(a, "a", refused)
		assert.Equal(t, 0, warnings)
		assert.Empty(t, f.Last(), "one is connected")

		become(b, "b", connectivity.Idle)
		assert.Equal(t, map[string]error{"a": refused}, f.Last(),
			"b has not failed since it was connected")
		fail(b, "b", lost)
		assert.Equal(t, 1, warnings)
		assert.Equal(t, map[string]error{"a": refused, "b": lost}, f.Last())
		for range 60 {
			time.Sleep(time.Second)
			assert.Equal(t, 1, warnings)
			become(a, "a", connectivity.Connecting)
			fail(a, "a", refused)
		}
		assert.Equal(t, 2, warnings)
	})
}

// TestFailuresOfReplacedConnections shows that the end of a former connection to an
// address says nothing about the present one, and that what happens to endpoints
// that were taken away, or after the end, is ignored.
func TestFailuresOfReplacedConnections(t *testing.T) {
	f := NewFailures(func() { t.Error("warned") })
	f.retain([]string{"a"})
	former, present := &numberedConn{number: 1}, &numberedConn{number: 2}
	f.note(former, "a", balancer.SubConnState{ConnectivityState: connectivity.Ready})
	f.note(present, "a", balancer.SubConnState{ConnectivityState: connectivity.Ready})
	f.note(former, "a", balancer.SubConnState{ConnectivityState: connectivity.Shutdown})
	assert.Len(t, f.connected, 1)
	f.note(former, "gone", balancer.SubConnState{ConnectivityState: connectivity.TransientFailure,
		ConnectionError: errors.New("x")})
	assert.NotContains(t, f.last, "gone")
	f.close()
	f.note(present, "a", balancer.SubConnState{ConnectivityState: connectivity.TransientFailure,
		ConnectionError: errors.New("x")})
	assert.Empty(t, f.Last())
}
