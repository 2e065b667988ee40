package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// What is watched on a real member must be what the feeders write there, and what is read what
// fill writes.
func TestWorkloadsMeetOnARealMember(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	endpoint := etcdtest.Start(t).Members()[0].Address()
	run := func(s settings) error {
		s.endpoint, s.ttl, s.length = endpoint, 3, max(s.length, 100*time.Millisecond)
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
		fed := make(chan error, 1)
		// Ends after its time; the test waits.
		go func() {
			fed <- run(settings{work: test.feeder, via: "stub", n: test.n, length: time.Second})
		}()
		for _, via := range []string{"client", "stub"} {
			if via == "client" || !workloads[test.work].clientOnly {
				require.NoError(t, run(settings{work: test.work, via: via, n: test.n}), test)
			}
		}
		require.NoError(t, <-fed)
	}
	filled := settings{via: "stub", n: 120, size: 10}
	for _, filled.work = range []string{"fill", "range"} {
		require.NoError(t, run(filled))
	}
}
