package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// moving has the commands with which the README and the migration page move a program to this
// client. They are in the order in which a reader executes them. The tests replace
// PATH_OF_THIS_CLONE and PROGRAM.
var moving = []string{
	"go mod edit -replace go.etcd.io/etcd/client/v3=PATH_OF_THIS_CLONE",
	"go mod tidy",
	"go build ./...",
	"go list -m go.etcd.io/etcd/client/v3",
	"go version -m PROGRAM",
	"go mod vendor",
	"go mod edit -dropreplace go.etcd.io/etcd/client/v3",
	"go work edit -replace go.etcd.io/etcd/client/v3=PATH_OF_THIS_CLONE",
	"go mod init example.com/program",
	"go build -o program .",
	"go get go.etcd.io/etcd/api/v3@v3.6.5 go.etcd.io/etcd/client/pkg/v3@v3.6.5",
	"go mod edit -require go.etcd.io/etcd/client/v3@v3.7.3",
}

// TestMovingOverAndBack: a program moves from release 3.7 to this client and back. On the way over,
// its go.mod gets one line and loses the module that only the release uses. On the way back, its
// go.mod becomes what it was.
func TestMovingOverAndBack(t *testing.T) {
	dir, step := newProgram(t, map[string]string{"main.go": readmeProgram(t)})
	step("go mod edit -require go.etcd.io/etcd/client/v3@v3.7.3")
	step("go mod tidy")
	before := goMod(t, dir)

	step(moving[0])
	step(moving[1])
	added := minus(goMod(t, dir), before)
	assert.Equal(t, []string{"replace go.etcd.io/etcd/client/v3 => " + clone(t)}, added)
	removed := minus(before, goMod(t, dir))
	require.Len(t, removed, 1)
	assert.Contains(t, removed[0], "github.com/coreos/go-systemd/v22 ")
	step(moving[2])
	assert.Contains(t, step(moving[3]), clone(t))
	step(moving[9])
	assert.Contains(t, step(moving[4]), clone(t))
	step(moving[5])
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "vendor")))

	step(moving[6])
	step("go mod tidy")
	assert.Equal(t, before, goMod(t, dir))
	assert.Equal(t, "go.etcd.io/etcd/client/v3 v3.7.3\n", step(moving[3]))

	step("go work init .")
	step(moving[7])
	assert.Contains(t, step(moving[3]), clone(t))
}

// TestMovingBackToAnOlderClient: a program moves from release 3.6 to this client and back. Release
// 3.6 does not compile with api/v3 and client/pkg/v3 of 3.7, so the way back lowers these modules.
func TestMovingBackToAnOlderClient(t *testing.T) {
	_, step := newProgram(t, map[string]string{"main.go": readmeProgram(t)})
	step("go mod edit -require go.etcd.io/etcd/client/v3@v3.6.5")
	step(moving[0])
	step(moving[1])
	step(moving[2])

	step(moving[6])
	step(moving[10])
	step("go mod tidy")
	step(moving[2])
	assert.Equal(t, "go.etcd.io/etcd/client/v3 v3.6.5\n", step(moving[3]))
}

// The code of the README works in a new module: the program prints what it has put, seen and
// cached, and its test passes.
func TestCodeOfTheReadmeRuns(t *testing.T) {
	server := etcdtest.Start(t)
	program := strings.ReplaceAll(readmeProgram(t), "127.0.0.1:2379", server.Endpoints()[0])
	program = strings.TrimSuffix(program, "}\n") + "\ttour(ctx, client)\n}\n"
	tour := complete(readmeBlock(t, "func tour("))
	tour = strings.Replace(tour, "package snippet", "package main", 1)
	dir, step := newProgram(t, map[string]string{
		"main.go": program, "tour.go": tour,
		"failover_test.go": readmeBlock(t, "package main_test\n"),
	})
	step(moving[0])
	step(moving[1])
	step(moving[9])
	assert.Equal(t, "greeting = hello, written at revision 2\nwatched: bonjour\ncached: bonjour\n",
		execute(t, dir, "./program"))
	step("go test .")

	step(moving[6])
	require.NoError(t, os.Remove(filepath.Join(dir, "tour.go"))) // it uses the package cache
	require.NoError(t, os.Remove(filepath.Join(dir, "failover_test.go")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(readmeProgram(t)), 0o600))
	step(moving[11])
	step("go mod tidy")
	step(moving[2])
}

// newProgram makes a separate module that consists of the files. step executes a command in it.
func newProgram(
	t *testing.T, files map[string]string,
) (dir string, step func(command string) string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	step = func(command string) string {
		t.Helper()
		command = strings.ReplaceAll(command, "PATH_OF_THIS_CLONE", clone(t))
		return execute(t, dir, strings.ReplaceAll(command, "PROGRAM", "program"), "GOFLAGS=")
	}
	step(moving[8])
	return dir, step
}

// clone is the path of this repository.
func clone(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(root)
	require.NoError(t, err)
	return path
}

func readmeProgram(t *testing.T) string {
	t.Helper()
	return readmeBlock(t, "package main\n")
}

// readmeBlock returns the first Go code block in the README that begins with the text start.
func readmeBlock(t *testing.T, start string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	for _, b := range (page{"README.md", string(text)}).blocks() {
		if b.language == "go" && strings.HasPrefix(b.text, start) {
			return b.text
		}
	}
	require.Fail(t, "the README has no such code", start)
	return ""
}

// goMod returns the lines of the go.mod in dir, without its "require (" and ")".
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

// minus returns the lines of a that b does not have.
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
