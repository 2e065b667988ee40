package concurrency

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestResignGoesOnInTheBackground has a program give up leadership with a context that has ended,
// as at its shutdown.
func TestResignGoesOnInTheBackground(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, resumed := range map[string]bool{"campaigned": false, "resumed": true} {
		_, client := newFake(t)
		s := newSession(t, client)
		e := NewElection(s, "election")
		require.NoError(t, e.Campaign(t.Context(), "value"), name)
		if resumed {
			s = newSession(t, client, WithLease(s.Lease()))
			e = ResumeElection(s, "election", e.Key(), e.Rev())
		}
		next := NewElection(newSession(t, client), "election")
		leads := async(func() error { return next.Campaign(t.Context(), "next") })
		awaitKeys(t, client, "election", 2)
		assert.Equal(t, context.Canceled, e.Resign(ended), name)
		assert.NotEmpty(t, e.Key(), "%s: Resign may be repeated", name)
		require.NoError(t, <-leads, name)
		assert.Equal(t, "next", leaderValue(t, next), name)
		assert.Equal(t, ErrElectionNotLeader, e.Proclaim(t.Context(), "value"), name)
		assert.NoError(t, e.Resign(t.Context()), name)
		assert.Empty(t, e.Key(), name)
		require.NoError(t, next.Resign(t.Context()))

		require.NoError(t, e.Campaign(t.Context(), "again"), name)
		assert.Equal(t, context.Canceled, e.Resign(ended), name)
		require.NoError(t, e.Campaign(t.Context(), "and again"), "%s: a candidacy of its own", name)
		assert.Equal(t, "and again", leaderValue(t, e), name)
	}
}
