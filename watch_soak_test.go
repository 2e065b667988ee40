package clientv3_test

import "testing"

// TestSoakWatchModel is TestWatchModel for longer.
func TestSoakWatchModel(t *testing.T) {
	soak(t)
	runWatchModel(t, 1_000_000)
}
