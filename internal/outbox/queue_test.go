package outbox

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestQueueKeepsOrder lets a queue grow and shrink at random. The values fill more than one chunk
// (an array of values).
func TestQueueKeepsOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q queue[int]
	var pool sync.Pool
	pushed, dropped := 0, 0
	for range 200 {
		for range rng.IntN(2 * chunkLen) {
			q.push(pushed, 2*pushed, &pool)
			pushed++
		}
		for range rng.IntN(2 * chunkLen) {
			if q.len == 0 {
				break
			}
			require.Equal(t, sized[int]{dropped, 2 * dropped}, *q.front())
			q.drop(&pool)
			dropped++
		}
		require.Equal(t, pushed-dropped, q.len)
	}
	for q.len > 0 {
		require.Equal(t, dropped, q.front().value)
		q.drop(&pool)
		dropped++
	}
	assert.Equal(t, pushed, dropped)
	assert.Equal(t, queue[int]{tail: q.tail}, q, "an empty queue has no chunk")
}

// TestChunksAreReused: a chunk from which all values were dropped is empty, and is used again.
func TestChunksAreReused(t *testing.T) {
	var q queue[*int]
	var pool sync.Pool
	for i := range chunkLen {
		q.push(&i, 1, &pool)
	}
	c := q.first
	for q.len > 0 {
		q.drop(&pool)
	}
	assert.Equal(t, chunk[*int]{}, *c)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		for range 3 * chunkLen {
			q.push(nil, 1, &pool)
		}
		for q.len > 0 {
			q.drop(&pool)
		}
	}))
}
