package main

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/bench/internal/canned"
)

// startCanned serves canned answers in the test's process and returns the address.
func startCanned(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, done := canned.NewServer(), make(chan error, 1)
	// This goroutine ends when server.Stop is called; the clean-up waits for it.
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	return listener.Addr().String()
}

// small has settings with which a workload ends at once, for the workloads that need more than the
// defaults of TestEveryWorkloadRuns.
var small = map[string]settings{
	"keepalive":     {n: 3, length: 1200 * time.Millisecond},
	"watchers-open": {n: 20},
	"watchers":      {n: 20, length: 20 * time.Millisecond},
	"hold":          {n: 10, size: 10},
}

// real are the workloads that need a real member.
var real = map[string]bool{"live": true, "feed": true, "feed-watchers": true, "fill": true}

func TestEveryWorkloadRuns(t *testing.T) {
	endpoint := startCanned(t)
	for _, name := range workNames() {
		for _, via := range []string{"client", "stub"} {
			if via == "stub" && workloads[name].clientOnly || real[name] {
				continue
			}
			t.Run(name+" via "+via, func(t *testing.T) {
				s := small[name]
				s.endpoint, s.work, s.via, s.ttl = endpoint, name, via, 3
				s.length = max(s.length, time.Millisecond)
				sample, err := measure(context.Background(), s)
				require.NoError(t, err)
				require.Positive(t, sample.Ops)
				require.Positive(t, sample.Allocs)
				require.Equal(t, name, sample.Work)
				require.Equal(t, via, sample.Via)
			})
		}
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-work", "put"}, "-endpoint is missing"},
		{[]string{"-endpoint", "a:1", "-work", "dig"}, `-work "dig" is none of`},
		{[]string{"-endpoint", "a:1", "-work", "put", "-via", "x"}, "neither client nor stub"},
		{[]string{"-endpoint", "a:1", "-work", "put", "-for", "0s"}, "must be above 0"},
		{[]string{"-endpoint", "a:1", "-work", "put", "-n", "-1"}, "at least 0"},
		{[]string{"-endpoint", "a:1", "-work", "put", "get"}, `["get"] is no flag`},
	} {
		_, err := parse(test.args, io.Discard)
		require.ErrorContains(t, err, test.want)
	}
	_, err := parse([]string{"-endpoint", "a:1", "-work", "put"}, io.Discard)
	require.NoError(t, err)
}
