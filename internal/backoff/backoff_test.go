package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDelayDoublesUpToMax(t *testing.T) {
	p := Policy{Base: 10 * time.Millisecond, Max: 65 * time.Millisecond}
	for attempt, want := range []time.Duration{10, 20, 40, 65, 65} {
		assert.Equal(t, want*time.Millisecond, p.Delay(attempt), "attempt %d", attempt)
	}
	assert.Equal(t, 65*time.Millisecond, p.Delay(1_000_000))
	assert.Equal(t, 10*time.Millisecond, p.Delay(-3))
}

func TestDelayOfZeroPolicyIsZero(t *testing.T) {
	assert.Zero(t, Policy{}.Delay(5))
	assert.Zero(t, Policy{Base: -time.Second, Max: time.Second}.Delay(5))
}

func TestDelayNeverFallsBelowBaseCeilingWhenMaxIsSmaller(t *testing.T) {
	assert.Equal(t, time.Second, Policy{Base: time.Second, Max: time.Millisecond}.Delay(3))
}

func TestJitterSpansItsRange(t *testing.T) {
	for _, jitter := range []float64{0.1, 0.5, 1, 7} {
		p := Policy{Base: time.Second, Max: time.Second, Jitter: jitter}
		low, high := time.Hour, time.Duration(0)
		for range 2000 {
			d := p.Delay(0)
			low, high = min(low, d), max(high, d)
		}
		floor := time.Duration((1 - min(jitter, 1)) * float64(time.Second))
		assert.GreaterOrEqual(t, low, floor, "jitter %v", jitter)
		assert.LessOrEqual(t, high, time.Second, "jitter %v", jitter)
		assert.Greater(t, high-low, (time.Second-floor)*8/10, "jitter %v", jitter)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, Wait(t.Context(), 3*time.Second))
		assert.Equal(t, 3*time.Second, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		assert.Equal(t, context.DeadlineExceeded, Wait(ctx, time.Minute))
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, context.DeadlineExceeded, Wait(ctx, 0),
			"a context that is done is reported without a wait too")
		assert.NoError(t, Wait(t.Context(), -time.Second))
	})
}
