// Package lint holds the project's rules on structure as functions over parsed files; its tests run
// them over the whole module.
//
// A rule takes one file, or the files of one package, and returns its findings: a line of text for
// each place that breaks the rule. What a rule allows, and where it applies, stands in settings.go.
package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const modulePath = "go.etcd.io/etcd/client/v3"

// root is the module's root, as the tests of this package see it.
const root = "../.."

// A File is a parsed Go file.
type File struct {
	Path string // relative to the module's root, with slashes
	AST  *ast.File

	fset *token.FileSet
}

// Parse parses src, the text of the file at path.
func Parse(path, src string) (*File, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	return &File{Path: path, AST: tree, fset: fset}, err
}

// Test reports whether the file is compiled only into tests.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Dir is the directory of the file's package, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

func (f *File) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// finding returns the text of a finding: the file and line of pos, then the formatted message.
func (f *File) finding(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", f.Path, f.line(pos)) + fmt.Sprintf(format, args...)
}

// Load lists the project's files, nested modules included, and parses the Go files among them. It
// leaves out the directories in skippedDirs.
func Load(project fs.FS) (paths []string, files []*File, err error) {
	err = fs.WalkDir(project, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skippedDirs[d.Name()]:
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		paths = append(paths, p)
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := fs.ReadFile(project, p)
		if err != nil {
			return err
		}
		f, err := Parse(p, string(src))
		files = append(files, f)
		return err
	})
	return paths, files, err
}

// under reports whether p is one of dirs or lies below one.
func under(p string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return p == dir || strings.HasPrefix(p, dir+"/")
	})
}
