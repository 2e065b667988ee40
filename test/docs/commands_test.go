package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kinds says how the commands in the pages are tested. Each command must match one pattern, and
// each pattern must match at least one command.
var kinds = []struct {
	commands string
	test     func(t *testing.T, command string)
}{
	// The test does not execute these targets: `make -n` shows that they exist. .ci/run executes
	// some of them. The others take minutes or need a quiet machine.
	{`^make [a-z-]+( [a-z-]+)*( [A-Z_]+=('[^']+'|\S+))?$`, madeBy},
	{`^([A-Z_]+=\S+ )*go test `, namesTests},
	{`^go (doc|list|run \./internal/lint/apicheck) `, run},
	{`^go run \./examples/\w+ -demo$`, isExample},
	{`^go (mod|work|build|version|get) `, isInOrder},
}

func TestCommandsInPagesWork(t *testing.T) {
	commands := commandsOfAll(t)
	for _, kind := range kinds {
		pattern := regexp.MustCompile(kind.commands)
		found := 0
		for command, names := range commands {
			if !pattern.MatchString(command) {
				continue
			}
			found++
			delete(commands, command)
			t.Run(command, func(t *testing.T) {
				t.Log("in", names)
				kind.test(t, command)
			})
		}
		assert.NotZero(t, found, "no page has a command like %s", kind.commands)
	}
	assert.Empty(t, commands, "no kind of command has these")
}

var (
	programs = `(?:[A-Z_]+=\S+ )*(?:make|git|cd|docker|go (?:[a-z]+)) `
	span     = regexp.MustCompile("`(" + programs + "[^`]+)`")
	line     = regexp.MustCompile(`^` + programs)
)

// commandsOfAll maps each command to the names of the pages that have it. A command is a line of a
// code block that is not Go code, or a code span in a sentence.
func commandsOfAll(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			if b.language == "go" {
				continue
			}
			for text := range strings.Lines(b.text) {
				text, _, _ = strings.Cut(text, "  ") // a comment follows two spaces
				if text = strings.TrimSpace(text); line.MatchString(text + " ") {
					found[text] = append(found[text], p.name)
				}
			}
		}
		for _, match := range span.FindAllStringSubmatch(p.text, -1) {
			found[match[1]] = append(found[match[1]], p.name)
		}
	}
	require.NotEmpty(t, found)
	return found
}

// madeBy checks that make can make the target, with the variables that the command sets.
func madeBy(t *testing.T, command string) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Log("no make on this machine")
		return
	}
	execute(t, root, strings.Replace(command, "make ", "make -n ", 1))
}

var (
	testArgument = regexp.MustCompile(`-(?:run|fuzz) '?\^?((?:Test|Fuzz)\w+)\$?'?`)
	testPackage  = regexp.MustCompile(`\./\S+$`)
)

// namesTests checks that the package has the test that the command names. `make test` executes it.
func namesTests(t *testing.T, command string) {
	t.Helper()
	dir := testPackage.FindString(command)
	require.NotEmpty(t, dir, command)
	name := testArgument.FindStringSubmatch(command)
	if dir == "./..." && name[1] == "TestName" {
		return // a placeholder
	}
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "%s has no tests", dir)
	if name == nil {
		return
	}
	found := slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "func "+name[1]+"(")
	})
	require.True(t, found, "%s has no %s", dir, name[1])
}

// run executes a command at the root. NAME stands for a package.
func run(t *testing.T, command string) {
	t.Helper()
	execute(t, root, strings.ReplaceAll(command, "NAME", "retry"))
}

// isExample checks that the test of the examples executes the command.
func isExample(t *testing.T, command string) {
	t.Helper()
	name := filepath.Base(strings.Fields(command)[2])
	require.FileExists(t, filepath.Join(root, "examples", "testdata", name+".txt"))
}

// isInOrder checks that the command is in the variable moving. The tests in moving_test.go execute
// the commands there.
func isInOrder(t *testing.T, command string) {
	t.Helper()
	require.True(t, slices.ContainsFunc(moving, func(step string) bool {
		return strings.HasPrefix(step, command)
	}), "no test of moving executes %q", command)
}

// execute runs a command of a page in a directory and returns what it prints.
func execute(t *testing.T, dir, command string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", command, out)
	return string(out)
}
