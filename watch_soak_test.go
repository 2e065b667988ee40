package clientv3_test

import (
	"strconv"
	"testing"
)

// TestSoakWatchModel is TestWatchModel for longer, and again on new clusters.
func TestSoakWatchModel(t *testing.T) {
	soak(t)
	for round := range 10 {
		t.Run(strconv.Itoa(round), func(t *testing.T) { runWatchModel(t, 200_000) })
	}
}
