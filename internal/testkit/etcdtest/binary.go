package etcdtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// binaryEnv is the environment variable with the path of the etcd binary. It overrides the search
// for bin/etcd.
const binaryEnv = "ETCD_BIN"

// ErrNoBinary is wrapped by the error of [Start] and [New] if there is no etcd binary to run.
var ErrNoBinary = errors.New("etcdtest: no etcd binary")

var rootModule = regexp.MustCompile(`(?m)^module\s+go\.etcd\.io/etcd/client/v3\s*$`)

// Binary returns the path of the etcd binary that [Start] runs. If there is no binary, the test
// fails. If the tests run on fake servers, the test is skipped.
func Binary(tb testing.TB) string {
	tb.Helper()
	NeedsEtcd(tb, "other programs in its binary")
	dir, err := os.Getwd()
	require.NoError(tb, err)
	path, err := findBinary(dir)
	require.NoError(tb, err)
	return path
}

// findBinary returns the path of the etcd binary: $ETCD_BIN, or else bin/etcd at the module's root.
// It looks for the root in dir and the directories above it. For tests on fake servers, it returns
// bin/fakeserver at the root instead.
func findBinary(dir string) (string, error) {
	if path := os.Getenv(binaryEnv); path != "" && !OnFake() {
		return checkBinary(path)
	}
	for d := dir; ; d = filepath.Dir(d) {
		mod, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil && rootModule.Match(mod) {
			if OnFake() {
				return checkBinary(filepath.Join(d, "bin", "fakeserver"))
			}
			return checkBinary(filepath.Join(d, "bin", "etcd"))
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf(
				"%w: %s is not inside the module; set %s, or run `make etcd` at its root",
				ErrNoBinary, dir, binaryEnv)
		}
	}
}

func checkBinary(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return "", fmt.Errorf("%w at %s: run `make etcd` at the module's root to build it",
			ErrNoBinary, path)
	}
	return filepath.Abs(path)
}

// serverEnv returns the environment for an etcd process: that of this process, without the
// variables that etcd would read as flags.
func serverEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ETCD_") {
			env = append(env, kv)
		}
	}
	return env
}
