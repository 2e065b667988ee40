// Package testclient makes clients for black-box tests. Each client is closed at the end of its
// test, and logs nothing if its Config has no logger. A log entry that contains a secret of the
// Config fails the test.
//
// The package imports the root package, so tests inside package clientv3 cannot use it.
package testclient

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	public "go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// Change changes a Config before its client is made.
type Change func(*clientv3.Config)

// AsUser returns a Change that sets the user to log in as.
func AsUser(name, password string) Change {
	return func(cfg *clientv3.Config) { cfg.Username, cfg.Password = name, password }
}

// New makes a client from cfg, with the logger that [Logger] returns for cfg. At the end of the
// test, it closes the client, and the test fails if Close returns an error.
func New(tb testing.TB, cfg clientv3.Config) *clientv3.Client {
	tb.Helper()
	cfg.Logger = Logger(tb, cfg)
	client, err := clientv3.New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, client.Close()) })
	return client
}

// Open makes a client that connects to all members of cluster. At the end of the test, it closes
// the client as [New] does.
func Open(tb testing.TB, cluster *etcdtest.Cluster, changes ...Change) *clientv3.Client {
	tb.Helper()
	return New(tb, changed(clientv3.Config{Endpoints: cluster.Endpoints(),
		TLS: cluster.TLSConfig()}, changes))
}

// OpenFake makes a client that connects to fake. At the end of the test, it closes the client as
// [New] does.
func OpenFake(tb testing.TB, fake *etcdfake.Server, changes ...Change) *clientv3.Client {
	tb.Helper()
	return New(tb, changed(clientv3.Config{Endpoints: []string{fake.Addr()}}, changes))
}

// StartFake starts a fake member, and makes a client from cfg that connects to it. It sets the
// endpoints of cfg. At the end of the test, it closes the client and the member.
func StartFake(
	tb testing.TB, cfg clientv3.Config, opts ...etcdfake.Option,
) (*etcdfake.Server, *clientv3.Client) {
	tb.Helper()
	fake := etcdfake.Start(tb, opts...)
	cfg.Endpoints = []string{fake.Addr()}
	return fake, New(tb, cfg)
}

// LeaseIDs returns the ids of leases.
func LeaseIDs(leases []public.Lease) (ids []clientv3.LeaseID) {
	for _, l := range leases {
		ids = append(ids, l.ID)
	}
	return ids
}

func changed(cfg clientv3.Config, changes []Change) clientv3.Config {
	for _, change := range changes {
		change(&cfg)
	}
	return cfg
}

// Eventually waits until cond is true, and fails the test after a minute. The limit is long so that
// slow machines do not fail tests.
func Eventually(tb testing.TB, cond func() bool, msg string, args ...any) {
	tb.Helper()
	require.Eventuallyf(tb, cond, time.Minute, time.Millisecond, msg, args...)
}

// Throughout calls cond every 10 ms for the given duration. The test fails if a call returns false.
// The calls are made on the test's goroutine, so no call runs after Throughout has returned.
func Throughout(tb testing.TB, lasting time.Duration, cond func() bool, msg string, args ...any) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(lasting); time.Now().Before(end); <-tick.C {
		require.Truef(tb, cond(), msg, args...)
	}
}

// Soak marks a test that takes minutes. It skips the test if the environment variable ETCD_SOAK is
// not set.
func Soak(tb testing.TB) {
	tb.Helper()
	if os.Getenv("ETCD_SOAK") == "" {
		tb.Skip("takes minutes; run it with: make soak")
	}
}
