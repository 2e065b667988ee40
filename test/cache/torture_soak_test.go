package cache_test

import (
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestSoakTortureLeavesNoConsumerBehind is TestTortureLeavesNoConsumerBehind for three minutes,
// with some 25 faults or more.
func TestSoakTortureLeavesNoConsumerBehind(t *testing.T) {
	testclient.Soak(t)
	torture(t, 3*time.Minute, 8*time.Second)
}

// TestSoakUpdatesKeepRulesUnderFaults is TestUpdatesKeepRulesUnderFaults for three minutes.
func TestSoakUpdatesKeepRulesUnderFaults(t *testing.T) {
	testclient.Soak(t)
	updatesUnderFaults(t, 3*time.Minute, 6*time.Second)
}
