package lint

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var namedTest = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")

// A guarantee is worth what shows it: a test that was renamed, removed or skips itself shows
// nothing.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	root, err := Root(".")
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "guarantees.md"))
	require.NoError(t, err)
	paths, err := Paths(root)
	require.NoError(t, err)
	files, err := Load(root, paths)
	require.NoError(t, err)

	tests := map[string][]*ast.FuncDecl{}
	for _, f := range files {
		for _, decl := range f.AST.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = append(tests[fn.Name.Name], fn)
			}
		}
	}
	named := namedTest.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		fns := tests[name[1]]
		require.NotEmpty(t, fns, "docs/guarantees.md names %s, which does not exist", name[1])
		for _, fn := range fns {
			require.False(t, skips(fn), "docs/guarantees.md names %s, which may skip itself",
				name[1])
		}
	}
}

// skips tells whether a function calls Skip, Skipf or SkipNow itself.
func skips(fn *ast.FuncDecl) bool {
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok &&
			regexp.MustCompile(`^Skip(f|Now)?$`).MatchString(s.Sel.Name) {
			found = true
		}
		return !found
	})
	return found
}
