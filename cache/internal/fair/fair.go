// Package fair makes long loops over key-value pairs call runtime.Gosched now and then. Other
// goroutines then get a processor sooner.
//
// Without that, the scheduler lets a goroutine that only computes run for ten milliseconds. If 25
// such goroutines share two processors, another goroutine waits more than a hundred milliseconds
// each time that it has something to do. The goroutines that receive the changes of a cache would
// suffer most: they have something to do each time that the server has filled the flow-control
// window of their stream.
package fair

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// pairsBetweenLooks is how many pairs a loop handles before it looks at the clock again.
	pairsBetweenLooks = 2048
	// alone is the shortest time between two calls of runtime.Gosched while no loop waits for a
	// processor. A call may wake a thread, which takes several microseconds.
	alone = time.Millisecond
	// crowded is the shortest time between two calls of runtime.Gosched while a loop waits for a
	// processor.
	crowded = 50 * time.Microsecond
)

var (
	epoch = time.Now()
	// lastTurn is when a loop of this process last called runtime.Gosched, in nanoseconds since
	// epoch.
	lastTurn atomic.Int64
	// waiting is how many loops are in a call of runtime.Gosched, waiting for a processor.
	waiting atomic.Int32
)

// Loop counts the key-value pairs that one loop of the caller handles. It must be used by one
// goroutine only.
type Loop struct{ left int }

// Start returns a Loop for a loop that is about to begin. The Loop first looks at the clock after a
// random number of pairs. So a thousand short loops look at the clock as often as one loop over all
// of their pairs.
func Start() Loop { return Loop{left: 1 + rand.IntN(pairsBetweenLooks)} }

// Did records that the loop has handled more pairs. Whenever the loop has handled pairsBetweenLooks
// pairs, Did may call runtime.Gosched to let other goroutines run.
func (l *Loop) Did(pairs int) {
	if l.left -= pairs; l.left <= 0 {
		l.look()
	}
}

// look calls runtime.Gosched if enough time has passed since a loop of this process last called it.
// Enough is the constant crowded if a loop waits for a processor, and the constant alone otherwise.
func (l *Loop) look() {
	l.left = pairsBetweenLooks
	between := alone
	if waiting.Load() > 0 {
		between = crowded
	}
	now, last := int64(time.Since(epoch)), lastTurn.Load()
	if now-last >= int64(between) && lastTurn.CompareAndSwap(last, now) {
		waiting.Add(1)
		runtime.Gosched()
		waiting.Add(-1)
	}
}
