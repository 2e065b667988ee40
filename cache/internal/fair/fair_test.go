package fair_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"go.etcd.io/etcd/client/v3/cache/internal/fair"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// busyFor computes for a time.
func busyFor(length time.Duration) {
	for start := time.Now(); time.Since(start) < length; {
		continue
	}
}

// TestLoopsLetOthersRun shows that loops that compute on the only processor let another goroutine
// have it at least twenty times. A long loop looks at the clock about 80 times. A millisecond has
// passed each time, so it calls runtime.Gosched. Short loops look at random times, often too soon
// for such a call. Without fair.Loop, the other goroutine would get the processor about ten times.
func TestLoopsLetOthersRun(t *testing.T) {
	const rounds, pairs, least = 1280, 128, 20
	for name, length := range map[string]int{"one long loop": rounds, "short loops": 1} {
		t.Run(name, func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			var turns atomic.Int64
			var ended atomic.Bool
			done := make(chan struct{})
			// Ends when ended is set. The test waits for that.
			go func() {
				defer close(done)
				for ; !ended.Load(); runtime.Gosched() {
					turns.Add(1)
				}
			}()
			var loop fair.Loop
			for n := range rounds {
				if n%length == 0 {
					loop = fair.Start()
				}
				busyFor(75 * time.Microsecond)
				loop.Did(pairs)
			}
			got := turns.Load()
			ended.Store(true)
			<-done
			require.GreaterOrEqual(t, got, int64(least))
		})
	}
}
