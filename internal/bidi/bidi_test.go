package bidi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCut = errors.New("cut")

// start starts a link that dials the fake peer p and has the handler h. The test must end the link:
// synctest.Test returns only when the link's goroutines have ended.
func start(p *peer, h *recorder, opts Options) *Link[request, response] {
	l := New[request, response](context.Background(), p.dial, opts)
	l.Start(h)
	return l
}

func TestSendAndReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		h.onOpened = func(fill func(...*request)) { fill(&request{1}, &request{2}) }
		l := start(p, h, Options{})
		s := <-p.streams
		synctest.Wait()
		l.Send(&request{3}, &request{4})
		for want := 1; want <= 4; want++ {
			assert.Equal(t, want, (<-s.toPeer).n)
		}
		s.toUs <- &response{7}
		s.toUs <- &response{8}
		synctest.Wait()
		assert.Equal(t, []int{7, 8}, h.numbers())
		assert.Zero(t, l.Queued())
		l.Close()
		assert.Empty(t, h.errors(), "Close is no break")
	})
}

// TestBlockedSendNeverStopsReceiving: the peer receives nothing, and a thousand requests wait in
// the link's queue. The link still receives responses.
func TestBlockedSendNeverStopsReceiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		l := start(p, h, Options{})
		h.onReceived = func(*response) { l.Send(&request{9}) }
		s := <-p.streams
		synctest.Wait()
		for i := range 1000 {
			s.toUs <- &response{i}
		}
		synctest.Wait()
		assert.Len(t, h.numbers(), 1000)
		assert.Equal(t, 999, l.Queued(), "one is in the sender's hand")
		l.Close()
	})
}

func TestRedialReplacesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		h.onOpened = func(fill func(...*request)) {
			if h.opened == 2 {
				fill(&request{20})
			}
		}
		l := start(p, h, Options{Backoff: backoff.Policy{Base: time.Second, Max: time.Second}})
		s := <-p.streams
		synctest.Wait()
		l.Send(&request{1}, &request{2})
		synctest.Wait()
		s.fail <- errCut
		synctest.Wait()
		l.Send(&request{3}) // while there is no stream
		s = <-p.streams
		assert.Equal(t, 20, (<-s.toPeer).n, "what was meant for the first stream is gone")
		synctest.Wait()
		assert.Zero(t, l.Queued())
		assert.Equal(t, []error{errCut}, h.errors())
		l.Close()
	})
}

func TestBackoffGrowsUntilReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		p.dialErr = func(n int) error {
			if n < 3 || n > 3 && n < 7 {
				return errCut
			}
			return nil
		}
		l := start(p, h, Options{Backoff: backoff.Policy{Base: time.Second, Max: 4 * time.Second}})
		s := <-p.streams
		s.toUs <- &response{1}
		s.fail <- errCut
		<-p.streams
		l.Close()

		var gaps []time.Duration
		for i := 1; i < len(p.dials); i++ {
			gaps = append(gaps, p.dials[i].Sub(p.dials[i-1])/time.Second)
		}
		assert.Equal(t, []time.Duration{1, 2, 4, 1, 2, 4, 4}, gaps)
	})
}

func TestBrokenMayAskForALongerWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		p.dialErr = func(n int) error { return map[int]error{0: errCut}[n] }
		h.onBroken = func(error) (bool, time.Duration) { return true, time.Minute }
		l := start(p, h, Options{Backoff: backoff.Policy{Base: time.Second, Max: time.Second}})
		<-p.streams
		assert.Equal(t, time.Minute, p.dials[1].Sub(p.dials[0]))
		l.Close()
	})
}

func TestBrokenWithoutRedialEndsTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h, done := newPeer(), &recorder{}, make(chan struct{})
		h.onBroken = func(error) (bool, time.Duration) { return false, 0 }
		l := start(p, h, Options{Done: func() { close(done) }})
		s := <-p.streams
		s.fail <- errEnded
		<-done
		l.Wait()
		assert.Equal(t, []error{errEnded}, h.errors())
		assert.Equal(t, 1, p.dialCount())
		l.Close()
		l.Stop()
	})
}

func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		l := start(p, h, Options{})
		reason := errors.New("silent")
		h.onReceived = func(r *response) {
			if r.n == 1 {
				l.Reconnect(reason)
				l.Send(&request{1}) // dropped: nothing more goes to this stream
			}
		}
		first := <-p.streams
		synctest.Wait()
		first.toUs <- &response{1}
		second := <-p.streams
		assert.ErrorIs(t, first.ctx.Err(), context.Canceled)
		synctest.Wait()
		assert.Equal(t, []error{reason}, h.errors())
		assert.Zero(t, l.Queued())
		second.toUs <- &response{2}
		synctest.Wait()
		assert.Equal(t, []int{1, 2}, h.numbers())
		l.Close()
		l.Reconnect(reason)
	})
}

func TestFailedSendEndsTheStreamWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		p.sendErr = errors.New("too large")
		h.onOpened = func(fill func(...*request)) { fill(&request{1}) }
		l := start(p, h, Options{})
		<-p.streams
		s := <-p.streams
		assert.Equal(t, 1, (<-s.toPeer).n)
		assert.Equal(t, []error{p.sendErr}, h.errors())
		l.Close()
	})
}

// TestSendEOFLeavesTheReasonToRecv: if the peer has ended the stream, gRPC's Send returns only
// io.EOF. The link waits for the error of Recv, which has the reason. It passes this error to the
// handler's method Broken.
func TestSendEOFLeavesTheReasonToRecv(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		p.sendErr = errEnded
		h.onOpened = func(fill func(...*request)) { fill(&request{1}, &request{2}) }
		l := start(p, h, Options{})
		s := <-p.streams
		synctest.Wait()
		assert.Empty(t, h.errors())
		assert.Zero(t, l.Queued())
		s.fail <- errCut
		synctest.Wait()
		assert.Equal(t, []error{errCut}, h.errors())
		l.Close()
	})
}

func TestParentContextEndsTheLink(t *testing.T) {
	for name, connected := range map[string]bool{"connected": true, "waiting to redial": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, h := newPeer(), &recorder{}
				if !connected {
					p.dialErr = func(int) error { return errCut }
				}
				ctx, cancel := context.WithCancel(context.Background())
				l := New[request, response](ctx, p.dial,
					Options{Backoff: backoff.Policy{Base: time.Hour, Max: time.Hour}})
				l.Start(h)
				synctest.Wait()
				cancel()
				l.Wait()
				broken := h.errors()
				require.NotEmpty(t, broken)
				assert.ErrorIs(t, broken[len(broken)-1], context.Canceled)
			})
		})
	}
}

// TestContextEndsDuringBroken: a stream fails, and the link calls the handler's method Broken. The
// link's context ends during that call. So the link calls Broken a second time, with the context's
// error. Without the second call, the handler would never end its watches, and a call of Close that
// waits for them would never return.
func TestContextEndsDuringBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		ctx, cancel := context.WithCancel(context.Background())
		h.onBroken = func(error) (bool, time.Duration) { cancel(); return true, 0 }
		l := New[request, response](ctx, p.dial, Options{})
		l.Start(h)
		s := <-p.streams
		s.fail <- errCut
		l.Wait()
		assert.Equal(t, []error{errCut, context.Canceled}, h.errors())
	})
}
