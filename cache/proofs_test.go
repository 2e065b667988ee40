package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestProofsAreBounded adds proofs that no view reaches, as while a watch stands still. Those that
// stay are true, and the newest one stays.
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
