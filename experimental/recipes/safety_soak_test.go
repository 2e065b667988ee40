package recipe

import (
	"os"
	"testing"
	"time"
)

// TestSoakSafety is TestSafety for longer.
func TestSoakSafety(t *testing.T) {
	if os.Getenv("ETCD_SOAK") == "" {
		t.Skip("takes minutes; run it with: make soak")
	}
	runSafety(t, time.Minute)
}
