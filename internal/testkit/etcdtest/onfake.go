package etcdtest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

// onEnv is the environment variable that selects the servers of the tests. If it is "etcdfake",
// etcdtest runs bin/fakeserver, a fake member, instead of etcd.
const onEnv = "ETCD_TEST_ON"

// ErrOnFake is wrapped by the error for anything that the fake server does not support.
var ErrOnFake = errors.New("etcdtest: on etcdfake, which has no")

// OnFake reports whether the servers of the tests are fakes.
func OnFake() bool { return os.Getenv(onEnv) == "etcdfake" }

// NeedsEtcd skips a test if the servers are fakes. The parameter what names the feature of etcd
// that the test needs and the fake does not have.
func NeedsEtcd(tb testing.TB, what string) {
	tb.Helper()
	if OnFake() {
		tb.Skip(fmt.Errorf("%w %s", ErrOnFake, what))
	}
}

// fakeArgs are the etcd flags that the fake server supports, or that make no difference to it.
var fakeArgs = []string{"--metrics=extensive", "--auth-token=simple",
	"--watch-progress-notify-interval=100ms"}

// validateOnFake returns an error with ErrOnFake if the servers are fakes and an option asks for
// something that the fake server does not support.
func (c *config) validateOnFake() error {
	if !OnFake() {
		return nil
	}
	for _, o := range []struct {
		asked bool
		what  string
	}{
		{c.members > 1, "second process for its members"},
		{c.tls, "TLS"},
		{c.unix, "unix sockets"},
		{c.jwtTTL > 0, "JWT"},
	} {
		if o.asked {
			return fmt.Errorf("%w %s", ErrOnFake, o.what)
		}
	}
	for _, arg := range c.args {
		if !slices.Contains(fakeArgs, arg) {
			return fmt.Errorf("%w %s", ErrOnFake, arg)
		}
	}
	return nil
}

// needsEtcd does nothing if the servers are real. If they are fakes, it skips the test that started
// the cluster. If a program has started the cluster, needsEtcd returns an error that wraps
// ErrOnFake.
func (c *Cluster) needsEtcd(what string) error {
	if !OnFake() {
		return nil
	}
	if c.tb != nil {
		NeedsEtcd(c.tb, what)
	}
	return fmt.Errorf("%w %s", ErrOnFake, what)
}
