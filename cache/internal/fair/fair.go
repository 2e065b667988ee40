// Package fair has loops over many pairs give their turn on a processor away now and then. The
// scheduler lets a goroutine that computes run for ten milliseconds. If 25 of them share two
// processors, any other goroutine waits for more than a hundred milliseconds whenever it has
// something to do. The goroutines that take in the changes of a copy have something to do each time
// that the server has filled the window of their stream.
package fair

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// pairsBetweenLooks is how many pairs a loop handles between two looks at the clock.
	pairsBetweenLooks = 2048
	// alone is the time between two turns that are given away while there are processors enough.
	// Each may wake a thread, which takes several microseconds.
	alone = time.Millisecond
	// crowded is the time between two turns that are given away while a loop waits for a processor.
	crowded = 50 * time.Microsecond
)

var (
	epoch    = time.Now()
	lastTurn atomic.Int64 // when a loop of the process gave its turn away last, after epoch
	waiting  atomic.Int32 // how many loops wait for a processor after they gave their turn away
)

// Loop is one loop over pairs. It belongs to one goroutine.
type Loop struct{ left int }

// Start returns a Loop for a loop that begins. It looks at the clock for the first time after a
// random number of pairs, so that many short loops look as often as a long one.
func Start() Loop { return Loop{left: 1 + rand.IntN(pairsBetweenLooks)} }

// Did says that the loop has handled so many pairs. Now and then it lets other goroutines run.
func (l *Loop) Did(pairs int) {
	if l.left -= pairs; l.left <= 0 {
		l.look()
	}
}

// look gives the turn of the goroutine away, unless a loop did so a short time ago.
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
