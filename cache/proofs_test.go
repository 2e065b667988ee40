package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestProofsAreBounded adds many proofs, each of which says by a revision how new a copy must be to
// be current at some time. No view has reached these revisions, as when a watch is stuck. Most
// proofs are dropped, but never the newest one. So the time that is proven for a revision may be
// too early, but never too late.
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
