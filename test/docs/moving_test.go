package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// moving are the commands of the page on migrating in the order in which a reader gives them.
// PATH_OF_THIS_CLONE and PROGRAM are replaced.
var moving = []string{
	"go mod edit -replace go.etcd.io/etcd/client/v3=PATH_OF_THIS_CLONE",
	"go mod tidy",
	"go build ./...",
	"go list -m go.etcd.io/etcd/client/v3",
	"go version -m PROGRAM",
	"go mod vendor",
	"go mod edit -dropreplace go.etcd.io/etcd/client/v3",
	"go work edit -replace go.etcd.io/etcd/client/v3=PATH_OF_THIS_CLONE",
}

// A program on the published client moves to this one and back. Its go.mod gets one line, loses
// the module that only the published client uses, and is what it was in the end.
func TestMovingOverAndBack(t *testing.T) {
	clone, err := filepath.Abs(root)
	require.NoError(t, err)
	dir := t.TempDir()
	step := func(command string) string {
		command = strings.ReplaceAll(command, "PATH_OF_THIS_CLONE", clone)
		return execute(t, dir, strings.ReplaceAll(command, "PROGRAM", "program"), "GOFLAGS=")
	}
	program, _, _ := strings.Cut(readme(t), "## Moving over")
	_, program, _ = strings.Cut(program, "```go\n")
	program, _, _ = strings.Cut(program, "```")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	step("go mod init example.com/program")
	step("go mod edit -require go.etcd.io/etcd/client/v3@v3.7.3")
	step("go mod tidy")
	before := goMod(t, dir)

	step(moving[0])
	step(moving[1])
	added := minus(goMod(t, dir), before)
	assert.Equal(t, []string{"replace go.etcd.io/etcd/client/v3 => " + clone}, added)
	removed := minus(before, goMod(t, dir))
	require.Len(t, removed, 1)
	assert.Contains(t, removed[0], "github.com/coreos/go-systemd/v22 ")
	step(moving[2])
	assert.Contains(t, step(moving[3]), clone)
	step("go build -o program .")
	assert.Contains(t, step(moving[4]), clone)
	step(moving[5])
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "vendor")))

	step(moving[6])
	step("go mod tidy")
	assert.Equal(t, before, goMod(t, dir))
	assert.Equal(t, "go.etcd.io/etcd/client/v3 v3.7.3\n", step(moving[3]))

	step("go work init .")
	step(moving[7])
	assert.Contains(t, step(moving[3]), clone)
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	return string(text)
}

// goMod are the lines of a go.mod.
func goMod(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line != "require (" && line != ")" {
			lines = append(lines, line)
		}
	}
	return lines
}

// minus are the lines of a that b has not.
func minus(a, b []string) []string {
	have := map[string]bool{}
	for _, line := range b {
		have[line] = true
	}
	var rest []string
	for _, line := range a {
		if !have[line] {
			rest = append(rest, line)
		}
	}
	return rest
}
