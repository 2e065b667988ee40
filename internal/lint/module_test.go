package lint

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// module is the whole project as the rules see it.
type module struct {
	root   string
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
	root, err := Root(".")
	if err != nil {
		return nil, err
	}
	paths, err := Paths(root)
	if err != nil {
		return nil, err
	}
	files, err := Load(root, paths)
	if err != nil {
		return nil, err
	}
	m := &module{root: root, paths: paths, files: files}
	for _, p := range paths {
		if path.Base(p) == "go.mod" && p != "go.mod" {
			m.nested = append(m.nested, path.Dir(p))
		}
	}
	return m, nil
})

// Scopes of rules.
func (m *module) all(*File) bool       { return true }
func (m *module) own(f *File) bool     { return !under(f.Path, m.nested...) }
func (m *module) code(f *File) bool    { return m.own(f) && !f.Test() }
func (m *module) library(f *File) bool { return m.code(f) && !under(f.Path, "examples") }
func (m *module) product(f *File) bool { return m.library(f) && !under(f.Path, testSupport...) }
func (m *module) public(f *File) bool  { return m.library(f) && !under(f.Path, "internal") }
func (m *module) machines(f *File) bool {
	return m.code(f) && under(f.Path, stateMachines...)
}
func (m *module) tests(f *File) bool { return f.Test() && !under(f.Path, "conformance") }

func TestFilesHoldTheRules(t *testing.T) {
	m := loadModule(t)
	for _, rule := range []struct {
		name  string
		scope func(*File) bool
		check func(*File) []Finding
	}{
		{"FileSize", m.all, FileSize},
		{"FuncSize", m.all, FuncSize},
		{"Indent", m.all, Indent},
		{"Goroutines", m.library, func(f *File) []Finding { return Goroutines(f, goroutineFiles) }},
		{"Sleeps", m.code, Sleeps},
		{"WallClock", m.library, func(f *File) []Finding { return WallClock(f, wallClockFiles) }},
		{"RootContexts", m.library, func(f *File) []Finding {
			return RootContexts(f, rootContextFiles)
		}},
		{"Panics", m.product, func(f *File) []Finding { return Panics(f, panicFiles) }},
		{"Channels", m.machines, Channels},
		{"Imports", m.own, func(f *File) []Finding { return Imports(f, importTable) }},
		{"Documented", m.public, Documented},
		{"DocWording", m.public, DocWording},
		{"Skips", m.tests, Skips},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for _, f := range slices.DeleteFunc(slices.Clone(m.files), func(f *File) bool {
				return !rule.scope(f)
			}) {
				report(t, rule.check(f))
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
		report(t, PackageDocumented(dir, files))
		report(t, LeakChecked(dir, files))
	}
}

func TestTextHoldsTheRules(t *testing.T) {
	m := loadModule(t)
	for _, p := range m.paths {
		if !isText(p) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.root, filepath.FromSlash(p)))
		require.NoError(t, err)
		report(t, Words(p, string(text)))
	}
}

// Entries of the settings that name nothing would allow something unseen later.
func TestSettingsNameWhatExists(t *testing.T) {
	m := loadModule(t)
	for _, p := range slices.Concat(goroutineFiles, rootContextFiles, wallClockFiles, panicFiles) {
		if _, err := os.Stat(filepath.Join(m.root, filepath.FromSlash(p))); err != nil {
			t.Errorf("settings.go allows %s something, and there is no such file", p)
		}
	}
}

// Files that grow long are named in the test's log, before they are too long.
func TestReportLongFiles(t *testing.T) {
	for _, f := range loadModule(t).files {
		if n := len(f.Lines); n > reportFileLines {
			t.Logf("%s has %d lines", f.Path, n)
		}
	}
}

func report(t *testing.T, found []Finding) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}
