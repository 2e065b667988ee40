package watch_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestSoakWatchModel runs TestWatchModel with four times the changes, on ten clusters.
func TestSoakWatchModel(t *testing.T) {
	testclient.Soak(t)
	for round := range 10 {
		t.Run(strconv.Itoa(round), func(t *testing.T) { runWatchModel(t, 200_000) })
	}
}

// TestSoakIdleClientsSendFewRequests: a thousand clients have one idle watch each. A client sends
// fewer than 0.4 requests a second on average. The test logs the server's CPU time, which depends
// on the machine.
func TestSoakIdleClientsSendFewRequests(t *testing.T) {
	testclient.Soak(t)
	const (
		clients = 1000
		settle  = 15 * time.Second
		measure = 30 * time.Second
		most    = 0.4 // requests a second from each client
	)
	cluster := etcdtest.Start(t)
	metric := func(parts ...string) float64 {
		v, err := cluster.Members()[0].Metric(parts...)
		require.NoError(t, err)
		return v
	}
	use := func() (cpu, requests float64) {
		time.Sleep(settle)
		cpu, requests = metric("process_cpu_seconds_total"),
			metric("grpc_server_msg_received_total", "Watch")
		began := time.Now()
		time.Sleep(measure)
		seconds := time.Since(began).Seconds()
		cpu = (metric("process_cpu_seconds_total") - cpu) / seconds
		return cpu, (metric("grpc_server_msg_received_total", "Watch") - requests) / seconds
	}
	alone, _ := use()
	for range clients {
		c := testclient.Open(t, cluster)
		c.Watch(t.Context(), "key")
	}
	with, requests := use()
	t.Logf("%d idle clients: %.0f requests a second, %.2f %% of a core; the server alone %.2f %%",
		clients, requests, 100*(with-alone), 100*alone)
	assert.Less(t, requests, most*clients)
}
