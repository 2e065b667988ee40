package etcdtest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

// onEnv names the variable that says what the tests run on. "etcdfake" is the fake, by
// bin/fakeserver, which etcdtest runs in place of etcd.
const onEnv = "ETCD_TEST_ON"

// ErrOnFake is in the error of what the fake server cannot do.
var ErrOnFake = errors.New("etcdtest: on etcdfake, which has no")

// OnFake reports whether the servers are fakes.
func OnFake() bool { return os.Getenv(onEnv) == "etcdfake" }

// NeedsEtcd skips a test of what only etcd has, such as its metrics, if the servers are fakes.
func NeedsEtcd(tb testing.TB, what string) {
	tb.Helper()
	if OnFake() {
		tb.Skip(fmt.Errorf("%w %s", ErrOnFake, what))
	}
}

// fakeArgs are the flags that a fake server has, or that make no difference to it.
var fakeArgs = []string{"--metrics=extensive", "--auth-token=simple",
	"--watch-progress-notify-interval=100ms"}

// validateOnFake returns ErrOnFake with what the fake server does not have of the options.
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

// needsEtcd returns ErrOnFake if the servers are fakes, or skips the test that started them.
func (c *Cluster) needsEtcd(what string) error {
	if !OnFake() {
		return nil
	}
	if c.tb != nil {
		NeedsEtcd(c.tb, what)
	}
	return fmt.Errorf("%w %s", ErrOnFake, what)
}
