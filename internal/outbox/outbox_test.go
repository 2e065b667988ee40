package outbox

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// Backlog returns how many values the consumer has not taken and the channel has no room for, and
// their size in bytes.
func (o *Outbox[T]) Backlog() (values, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.backlog == nil {
		return 0, 0
	}
	return o.backlog.waiting.len, o.backlog.bytes
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// countHooks counts the calls that an outbox makes to its owner. To the outbox, the size of a value
// is the value itself.
type countHooks struct {
	sized   atomic.Int64
	drained atomic.Int64
	closed  atomic.Int64
}

func (h *countHooks) Size(v int) int { h.sized.Add(1); return v }
func (h *countHooks) Drained()       { h.drained.Add(1) }
func (h *countHooks) Closed()        { h.closed.Add(1) }

func newTest(capacity int) (*Outbox[int], chan int, *countHooks, *Pumps) {
	ch, hooks, pumps := make(chan int, capacity), &countHooks{}, NewPumps()
	o := New(ch, hooks, pumps)
	return &o, ch, hooks, pumps
}

func receiveAll(ch <-chan int) (got []int) {
	for v := range ch {
		got = append(got, v)
	}
	return got
}

func TestPostWithRoomStartsNoPump(t *testing.T) {
	o, ch, hooks, _ := newTest(2)
	before := runtime.NumGoroutine()
	for i := range 100 {
		o.Post(i)
		assert.Equal(t, i, <-ch)
	}
	o.Close(7)
	assert.Equal(t, before, runtime.NumGoroutine())
	assert.Equal(t, []int{7}, receiveAll(ch))
	assert.Zero(t, hooks.sized.Load(), "a value that need not wait is not measured")
	assert.Zero(t, hooks.drained.Load())
}

func TestPumpKeepsOrderAndExitsWhenDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, ch, hooks, pumps := newTest(1)
		for i := range 10 {
			o.Post(i)
		}
		values, bytes := o.Backlog()
		assert.Equal(t, 9, values)
		assert.Equal(t, 45, bytes)
		for i := range 10 {
			assert.Equal(t, i, <-ch)
		}
		pumps.running.Wait()
		assert.EqualValues(t, 1, hooks.drained.Load())
		values, bytes = o.Backlog()
		assert.Zero(t, values)
		assert.Zero(t, bytes)

		o.Post(10) // goes straight into the channel, which has room again
		o.Post(11) // has no room, so a second pump starts
		assert.Equal(t, 10, <-ch)
		assert.Equal(t, 11, <-ch)
		pumps.running.Wait()
		assert.EqualValues(t, 2, hooks.drained.Load())
	})
}

func TestBacklogShrinksAsTheConsumerTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, ch, _, pumps := newTest(0)
		for i, v := range []int{5, 10, 20} {
			values, bytes := o.Post(v)
			assert.Equal(t, i+1, values)
			assert.Equal(t, []int{5, 15, 35}[i], bytes)
		}
		for _, want := range []struct{ values, bytes int }{{3, 35}, {2, 30}, {1, 20}, {0, 0}} {
			synctest.Wait()
			values, bytes := o.Backlog()
			assert.Equal(t, want.values, values)
			assert.Equal(t, want.bytes, bytes)
			if values > 0 {
				<-ch
			}
		}
		pumps.running.Wait()
	})
}

func TestCloseDeliversWhatWaitsThenLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, ch, hooks, pumps := newTest(1)
		o.Post(1)
		o.Post(2)
		o.Close(3, 4)
		o.Post(5)
		o.Close(6)
		synctest.Wait()
		assert.Equal(t, []int{1, 2, 3, 4}, receiveAll(ch))
		pumps.running.Wait()
		assert.Zero(t, hooks.drained.Load(), "a closed outbox wants nothing more")
		assert.EqualValues(t, 1, hooks.closed.Load())
	})
}

func TestCloseLastWithoutRoomStartsThePump(t *testing.T) {
	o, ch, _, pumps := newTest(0)
	o.Close(1)
	assert.Equal(t, []int{1}, receiveAll(ch))
	pumps.running.Wait()
}

func TestAbortDropsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, ch, hooks, pumps := newTest(1)
		for i := range 5 {
			o.Post(i)
		}
		synctest.Wait() // the pump tries to send the value 1
		o.Abort()
		o.Abort()
		pumps.running.Wait()
		assert.Equal(t, []int{0}, receiveAll(ch))
		values, bytes := o.Backlog()
		assert.Zero(t, values)
		assert.Zero(t, bytes)
		o.Post(9)
		o.Close(10)
		assert.Zero(t, hooks.drained.Load())
		assert.EqualValues(t, 1, hooks.closed.Load())
	})
}

func TestAbortEndsAWaitingClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, ch, _, pumps := newTest(0)
		o.Close(1, 2)
		synctest.Wait()
		o.Abort()
		pumps.running.Wait()
		_, open := <-ch
		assert.False(t, open)
	})
}

func TestAbortWithoutPumpClosesAtOnce(t *testing.T) {
	o, ch, hooks, _ := newTest(1)
	o.Post(1)
	o.Abort()
	assert.Equal(t, []int{1}, receiveAll(ch))
	assert.EqualValues(t, 1, hooks.closed.Load())
}

func TestPumpsCloseEndsAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pumps := NewPumps()
		hooks, ch := [3]countHooks{}, [3]chan int{}
		for i := range ch {
			ch[i] = make(chan int)
			o := New(ch[i], &hooks[i], pumps)
			o.Post(1)
			if i > 0 {
				o.Close(2)
			}
		}
		assert.Equal(t, []int{1, 2}, receiveAll(ch[2]))
		pumps.Close()
		for i := range ch {
			assert.Empty(t, receiveAll(ch[i]), "given up, and closed")
			assert.EqualValues(t, 1, hooks[i].closed.Load())
		}
	})
}

func TestNilHooks(t *testing.T) {
	ch, pumps := make(chan int), NewPumps()
	o := New(ch, nil, pumps)
	o.Post(1)
	o.Post(2)
	o.Close()
	assert.Equal(t, []int{1, 2}, receiveAll(ch))
	pumps.running.Wait()
}

func yieldTimes(n int) {
	for range n {
		runtime.Gosched()
	}
}

// TestRandomRaces runs a producer, a consumer of random speed, and in half of the rounds a call of
// Abort, concurrently. The consumer sees a prefix of the posted values, in order. The channel is
// closed exactly once: a second close, or a send after the close, would panic.
func TestRandomRaces(t *testing.T) {
	for round := range 300 {
		rng := rand.New(rand.NewPCG(1, uint64(round)))
		o, ch, hooks, pumps := newTest(rng.IntN(3))
		posts, abort, yield := rng.IntN(200), rng.IntN(2) == 0, rng.IntN(4)

		var producers sync.WaitGroup
		producers.Go(func() {
			for i := range posts {
				o.Post(i)
			}
			o.Close(posts)
		})
		if abort {
			producers.Go(func() {
				yieldTimes(yield)
				o.Abort()
			})
		}
		var got []int
		for v := range ch {
			got = append(got, v)
			yieldTimes(yield)
		}
		producers.Wait()
		pumps.running.Wait()
		require.EqualValues(t, 1, hooks.closed.Load(), "round %d", round)
		for i, v := range got {
			require.Equal(t, i, v, "round %d", round)
		}
		if !abort {
			require.Len(t, got, posts+1, "round %d: none may be lost", round)
		}
	}
}

func BenchmarkPost(b *testing.B) {
	o, ch, _, _ := newTest(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		o.Post(i)
		<-ch
	}
}
