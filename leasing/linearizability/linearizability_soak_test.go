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

// TestSoakLinearizable runs one trial after the other, each on a new cluster. Each trial runs every
// fault three times.
func TestSoakLinearizable(t *testing.T) {
	if os.Getenv("ETCD_SOAK") == "" {
		t.Skip("set ETCD_SOAK=1 to run it")
	}
	for end := time.Now().Add(soakTime); time.Now().Before(end); {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newTrial(t, seed).run(3 * len(faults)) })
	}
}
