package clientv3

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/keepalive"
)

// TestWaitsGrowAndAreJittered of all that is opened or asked again and again,
// and none lets twenty attempts into the first second.
func TestWaitsGrowAndAreJittered(t *testing.T) {
	for name, p := range map[string]backoff.Policy{"watches": watchBackoff,
		"keepalives": keepalive.StreamBackoff, "KeepAliveOnce": keepalive.OnceBackoff} {
		mean := func(attempt int) (mean time.Duration, differ bool) {
			const draws = 1000
			first := p.Delay(attempt)
			for range draws {
				d := p.Delay(attempt)
				mean += d / draws
				differ = differ || d != first
			}
			return mean, differ
		}
		last, total := time.Duration(0), time.Duration(0)
		for attempt := range 4 {
			d, differ := mean(attempt)
			assert.True(t, differ, "%s: attempt %d always waits %v", name, attempt, d)
			assert.Greater(t, d, last*3/2, "%s: attempt %d", name, attempt)
			last, total = d, total+d
		}
		later, _ := mean(100)
		assert.Greater(t, total+16*later, time.Second, name)
		assert.LessOrEqual(t, later, maxBackoffWait, name)
	}
}
