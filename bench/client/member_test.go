package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// TestWorkloadsMeetOnARealMember shows on a real member that the watching workloads receive the
// writes of the workloads "feed" and "feed-watchers", and that the reading workloads find the keys
// that the workload "fill" has written.
func TestWorkloadsMeetOnARealMember(t *testing.T) {
	endpoint := etcdtest.Start(t).Members()[0].Address()
	run := func(ctx context.Context, s settings) error {
		s.endpoint, s.ttl, s.length = endpoint, 3, max(s.length, 500*time.Millisecond)
		_, err := measure(ctx, s)
		return err
	}
	for _, test := range []struct {
		work   string
		n      int
		feeder string
	}{
		{"live", 1, "feed"}, {"live", 7, "feed"}, {"watchers", 5, "feed-watchers"},
	} {
		feeding, stop := context.WithCancel(t.Context())
		fed := make(chan error, 1)
		// This goroutine ends when stop is called; the test waits for it.
		go func() {
			fed <- run(feeding, settings{work: test.feeder, via: "stub", n: test.n,
				length: time.Hour})
		}()
		for _, via := range []string{"client", "stub"} {
			if via == "client" || !workloads[test.work].clientOnly {
				assert.NoError(t, run(t.Context(), settings{work: test.work, via: via, n: test.n}),
					test)
			}
		}
		stop()
		require.ErrorContains(t, <-fed, context.Canceled.Error())
	}
	filled := settings{via: "stub", n: 120, size: 10}
	for _, filled.work = range []string{"fill", "range"} {
		require.NoError(t, run(t.Context(), filled))
	}
}
