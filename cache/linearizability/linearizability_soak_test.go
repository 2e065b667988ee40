//go:build unix

package linearizability

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// soakTime is how long the long test runs.
const soakTime = 10 * time.Minute

// TestSoakLinearizable runs trials for soakTime. Each trial starts a cluster and runs every fault
// three times.
func TestSoakLinearizable(t *testing.T) {
	if os.Getenv("ETCD_SOAK") == "" {
		t.Skip("set ETCD_SOAK=1 to run it")
	}
	for end := time.Now().Add(soakTime); time.Now().Before(end); {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newTrial(t, seed).run(seed, 3*len(faults)) })
	}
}
