// Package examples_test runs the programs below this directory as the README says.
package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each program, run with -demo on a server of its own, ends by itself and prints the content of
// testdata/NAME.txt. In that file, a number sign (#) matches any number.
func TestEveryProgramPrintsWhatItShouldAndEnds(t *testing.T) {
	for _, name := range programs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
			require.NoError(t, err)
			assert.Regexp(t, pattern(string(want)), demo(t, name))
		})
	}
}

// Each program has a file in testdata with its expected output, and each of those files belongs to
// a program.
func TestEveryExpectedOutputHasAProgram(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".txt"))
	}
	assert.Equal(t, programs(t), names)
}

// programs are the names of the programs, in order.
func programs(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, mains)
	var names []string
	for _, file := range mains {
		names = append(names, filepath.Dir(file))
	}
	return names
}

// demo runs a program in its own directory, because some are modules of their own, and returns what
// it prints.
func demo(t *testing.T, name string) string {
	t.Helper()
	var out, log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", "-demo")
	cmd.Dir, cmd.Stdout, cmd.Stderr = name, &out, &log
	cmd.Env = append(os.Environ(), "ETCD_ENDPOINTS=")
	require.NoError(t, cmd.Run(), "%s\n%s", &out, &log)
	return out.String()
}

func pattern(want string) *regexp.Regexp {
	number := strings.ReplaceAll(regexp.QuoteMeta(want), "#", `\d+(\.\d+)?`)
	return regexp.MustCompile(`\A` + number + `\z`)
}
