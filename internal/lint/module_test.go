package lint

import (
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// module is the whole project as the rules see it.
type module struct {
	paths  []string
	files  []*File
	nested []string // directories of modules below the root
}

func loadModule(t *testing.T) *module {
	t.Helper()
	m, err := loaded()
	require.NoError(t, err)
	return m
}

var loaded = sync.OnceValues(func() (*module, error) {
	paths, files, err := Load(os.DirFS(root))
	if err != nil {
		return nil, err
	}
	m := &module{paths: paths, files: files}
	for _, p := range paths {
		if path.Base(p) == "go.mod" && p != "go.mod" {
			m.nested = append(m.nested, path.Dir(p))
		}
	}
	return m, nil
})

// The next methods are the scopes of rules: each reports whether a rule applies to a file.
func (m *module) all(*File) bool { return true }
func (m *module) library(f *File) bool {
	return !f.Test() && !under(f.Path, m.nested...) && !under(f.Path, "examples")
}
func (m *module) public(f *File) bool   { return m.library(f) && !under(f.Path, "internal") }
func (m *module) machines(f *File) bool { return !f.Test() && under(f.Path, stateMachines...) }

func TestFilesHoldTheRules(t *testing.T) {
	m := loadModule(t)
	for _, rule := range []struct {
		name  string
		scope func(*File) bool
		check func(*File) []string
	}{
		{"HouseWords", m.all, HouseWords},
		{"Goroutines", m.library, func(f *File) []string { return Goroutines(f, goroutineFiles) }},
		{"Channels", m.machines, Channels},
		{"Fields", m.public, Fields},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for _, f := range m.files {
				if rule.scope(f) {
					report(t, rule.check(f))
				}
			}
		})
	}
}

func TestPackagesHoldTheRules(t *testing.T) {
	m := loadModule(t)
	byDir := map[string][]*File{}
	for _, f := range m.files {
		byDir[f.Dir()] = append(byDir[f.Dir()], f)
	}
	for dir, files := range byDir {
		if under(dir, "conformance") {
			continue
		}
		report(t, LeakChecked(dir, files))
	}
}

func TestTextHoldsTheRules(t *testing.T) {
	m := loadModule(t)
	for _, p := range m.paths {
		if !isText(p) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p)))
		require.NoError(t, err)
		report(t, Words(p, string(text)))
	}
}

// The settings must name files and directories that exist. Otherwise, an old entry would allow
// something in a file that is added later.
func TestSettingsNameWhatExists(t *testing.T) {
	for _, p := range append(goroutineFiles, stateMachines...) {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(p))); err != nil {
			t.Errorf("settings.go names %s, which does not exist", p)
		}
	}
}

func report(t *testing.T, found []string) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}
