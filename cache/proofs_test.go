package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestProofsAreBounded adds many proofs. A proof says that a copy at its revision was current at
// its time. As with a stuck watch, no copy reaches any of these revisions meanwhile. Most proofs
// are dropped, but never the newest one. So the time that is proven for a revision may be too
// early, but never too late.
func TestProofsAreBounded(t *testing.T) {
	const n = 10_000
	start := time.Now()
	at := func(revision int64) time.Time { return start.Add(time.Duration(revision)) }
	var p proofs
	for revision := int64(1); revision <= n; revision++ {
		p.add(proof{revision, at(revision)})
		require.LessOrEqual(t, len(p), maxProofs)
		require.Equal(t, proof{revision, at(revision)}, p[len(p)-1])
	}
	for revision := int64(1); revision < n; revision++ {
		until := p.reached(revision)
		require.False(t, until.After(at(revision)))
	}
	require.Equal(t, at(n), p.reached(n))
	require.Empty(t, p)
}
