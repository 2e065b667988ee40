package etcdfake_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBubble runs a test with virtual time on a cluster and a client of it.
func inBubble(
	t *testing.T, f func(*testing.T, *etcdfake.Cluster, *clientv3.Client),
	opts ...etcdfake.Option,
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := etcdfake.New(t, opts...)
		f(t, c, c.Client())
	})
}

// to connects a client to one member only.
func to(m *etcdfake.Member) func(*clientv3.Config) {
	return func(cfg *clientv3.Config) { cfg.Endpoints = []string{m.Endpoint()} }
}

func mustPut(t *testing.T, client *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	t.Helper()
	_, err := client.Put(t.Context(), key, value, opts...)
	require.NoError(t, err)
}

// within returns a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// openWatch opens a watch and waits until the member has it.
func openWatch(t *testing.T, client *clientv3.Client, key string) clientv3.WatchChan {
	t.Helper()
	w := client.Watch(t.Context(), key, clientv3.WithCreatedNotify())
	require.True(t, nextEvents(t, w).Created)
	return w
}

// nextEvents waits for the next response of a watch.
func nextEvents(t *testing.T, w clientv3.WatchChan) clientv3.WatchResponse {
	t.Helper()
	resp, ok := <-w
	require.True(t, ok, "the watch has ended")
	return resp
}

// run runs the function test in virtual time. An example has no *testing.T, so run makes one. A
// normal test has one, and calls synctest.Test directly.
func run(test func(*testing.T)) {
	runInRealTime(func(t *testing.T) { synctest.Test(t, test) })
}

// runInRealTime runs the function test as if it were a Test function under go test. The environment
// variable ETCDFAKE_RUNS is how often it is run again after that, without output.
func runInRealTime(test func(*testing.T)) {
	for name, value := range map[string]string{"test.v": "false", "test.count": "1"} {
		f := flag.Lookup(name)
		defer func(before string) { _ = f.Value.Set(before) }(f.Value.String())
		_ = f.Value.Set(value)
	}
	tests := []testing.InternalTest{{Name: "example", F: test}}
	all := func(string, string) (bool, error) { return true, nil }
	testing.RunTests(all, tests)
	repeats, _ := strconv.Atoi(os.Getenv("ETCDFAKE_RUNS"))
	for range repeats {
		if !silently(func() bool { return testing.RunTests(all, tests) }) {
			fmt.Println("one of the runs has failed")
			return
		}
	}
}

// silently calls f and discards what f prints to standard output.
func silently(f func() bool) bool {
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	os.Stdout = nil
	return f()
}
