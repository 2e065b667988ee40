package bidi

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

func TestStopFlushesHalfClosesAndEndsWithThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		l := start(p, h, Options{Linger: time.Minute})
		s := <-p.streams
		synctest.Wait()
		l.Send(&request{1}, &request{2})
		begin := time.Now()
		l.Stop()
		l.Send(&request{3})
		assert.Equal(t, 1, (<-s.toPeer).n)
		assert.Equal(t, 2, (<-s.toPeer).n)
		<-s.half
		s.toUs <- &response{1} // after Stop the handler does not get this response
		s.fail <- errEnded
		l.Wait()
		assert.Zero(t, time.Since(begin), "the peer ended the stream: no lingering")
		assert.Empty(t, h.numbers())
		assert.Empty(t, h.errors())
	})
}

func TestStopLingersNoLongerThanAsked(t *testing.T) {
	for name, receives := range map[string]bool{"peer ignores the half-close": true,
		"peer does not receive": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, h := newPeer(), &recorder{}
				l := start(p, h, Options{Linger: time.Second})
				s := <-p.streams
				synctest.Wait()
				l.Send(&request{1})
				begin := time.Now()
				l.Stop()
				l.Stop()
				if receives {
					<-s.toPeer
					<-s.half
				}
				l.Wait()
				assert.Equal(t, time.Second, time.Since(begin))
			})
		})
	}
}

func TestStopWithoutLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		l := start(p, h, Options{})
		s := <-p.streams
		synctest.Wait()
		l.Stop()
		l.Wait()
		assert.Error(t, s.ctx.Err())
	})
}

func TestStopFromTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		l := start(p, h, Options{Linger: time.Second})
		h.onReceived = func(*response) { l.Stop() }
		s := <-p.streams
		s.toUs <- &response{1}
		l.Wait()
		assert.Equal(t, []int{1}, h.numbers())
	})
}

func TestStopWhileDialingOrWaiting(t *testing.T) {
	blocked := func(ctx context.Context) (Stream[request, response], error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	refused := func(context.Context) (Stream[request, response], error) { return nil, errCut }
	for name, dial := range map[string]Dial[request, response]{"dialing": blocked,
		"waiting": refused} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &recorder{}
				l := New(context.Background(), dial, Options{
					Linger: time.Hour, Backoff: backoff.Policy{Base: time.Hour, Max: time.Hour},
				})
				l.Start(h)
				synctest.Wait()
				before, begin := len(h.errors()), time.Now()
				l.Stop()
				l.Wait()
				assert.Zero(t, time.Since(begin))
				assert.Len(t, h.errors(), before, "Stop is no break")
			})
		})
	}
}

func TestStopBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPeer(), &recorder{}
		l := New[request, response](context.Background(), p.dial, Options{})
		l.Stop()
		l.Start(h)
		l.Wait()
		assert.Zero(t, h.opened)
		assert.Empty(t, h.errors())
	})
}

// TestRandomRaces: goroutines send, break streams, call Reconnect and end the link, all at the same
// time. The link always ends, and it never makes two calls of its handler at a time.
func TestRandomRaces(t *testing.T) {
	for round := range 100 {
		rng := rand.New(rand.NewPCG(2, uint64(round)))
		p, h := newPeer(), &recorder{}
		var inside sync.Mutex
		alone := func() func() {
			if !inside.TryLock() {
				t.Error("two handler methods at a time")
				return func() {}
			}
			runtime.Gosched()
			return inside.Unlock
		}
		h.onOpened = func(fill func(...*request)) { defer alone()(); fill(&request{1}) }
		h.onReceived = func(*response) { defer alone()() }
		h.onBroken = func(error) (bool, time.Duration) { defer alone()(); return true, 0 }
		l := start(p, h, Options{Linger: time.Duration(rng.IntN(2)) * time.Millisecond})

		var wg sync.WaitGroup
		wg.Go(func() {
			for range 50 {
				l.Send(&request{2})
			}
		})
		wg.Go(func() {
			for range 5 {
				l.Reconnect(errCut)
			}
		})
		stopPeer := make(chan struct{})
		wg.Go(func() { servePeer(p, stopPeer) })
		if rng.IntN(2) == 0 {
			l.Stop()
		}
		l.Close()
		close(stopPeer)
		wg.Wait()
	}
}

// servePeer receives and answers on every stream until stop is closed, and breaks each after a few
// messages.
func servePeer(p *peer, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case s := <-p.streams:
			for n := range 3 {
				select {
				case <-s.toPeer:
				case s.toUs <- &response{n}:
				case <-s.ctx.Done():
				}
			}
			s.fail <- errCut
		}
	}
}
