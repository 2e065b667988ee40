// Package lint holds the project's rules on structure as functions over parsed files; its tests run
// them over the whole module.
//
// A rule takes one file, or one package's files, and returns its findings. What a rule allows, and
// where it applies, stands in settings.go; to permit something new is to change that file, where a
// reviewer sees it.
package lint

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const modulePath = "go.etcd.io/etcd/client/v3"

// A Finding is one place that breaks a rule.
type Finding struct {
	Path string // relative to the module's root, with slashes
	Line int    // 0 where the finding is about the whole file
	Text string
}

func (f Finding) String() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// A File is a parsed Go file.
type File struct {
	Path  string // relative to the module's root, with slashes
	AST   *ast.File
	Lines []string

	fset *token.FileSet
}

// Parse parses src, which stands at path.
func Parse(path, src string) (*File, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &File{Path: path, AST: tree, Lines: strings.Split(strings.TrimSuffix(src, "\n"), "\n"),
		fset: fset}, nil
}

// Test reports whether the file is compiled only into tests.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Dir is the directory of the file's package, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

func (f *File) line(pos token.Pos) int { return f.fset.Position(pos).Line }

func (f *File) finding(pos token.Pos, format string, args ...any) Finding {
	return Finding{Path: f.Path, Line: f.line(pos), Text: fmt.Sprintf(format, args...)}
}

// Root finds the module's root: the nearest directory from dir upwards whose go.mod names this
// module.
func Root(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module "+modulePath+"\n") {
			return dir, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod of %s in any directory above", modulePath)
		}
		dir = up
	}
}

// Paths lists the project's files below root, nested modules too, without what is built, generated
// or hidden.
func Paths(root string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if skippedDirs[d.Name()] && rel != "." {
				return filepath.SkipDir
			}
			return nil
		}
		paths = append(paths, rel)
		return nil
	})
	return paths, err
}

// Load parses the Go files among paths.
func Load(root string, paths []string) ([]*File, error) {
	var files []*File
	for _, p := range paths {
		if !strings.HasSuffix(p, ".go") {
			continue
		}
		src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p)))
		if err != nil {
			return nil, err
		}
		f, err := Parse(p, string(src))
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// under reports whether p is dir or lies below it.
func under(p string, dirs ...string) bool {
	for _, dir := range dirs {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}
