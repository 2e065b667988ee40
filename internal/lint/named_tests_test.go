package lint

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var namedTest = regexp.MustCompile("`((?:Test|Example|Fuzz)[A-Za-z0-9_]+)`")

// Each test and example that a page names as evidence exists. The test of a guarantee must not skip
// itself.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	m := loadModule(t)
	tests := map[string][]*ast.FuncDecl{}
	for _, f := range m.files {
		for _, decl := range f.AST.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = append(tests[fn.Name.Name], fn)
			}
		}
	}
	for _, page := range m.paths {
		if !strings.HasPrefix(page, "docs/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page)))
		require.NoError(t, err)
		named := namedTest.FindAllStringSubmatch(string(text), -1)
		if page == "docs/guarantees.md" {
			require.NotEmpty(t, named)
		}
		for _, name := range named {
			fns := tests[name[1]]
			require.NotEmpty(t, fns, "%s names %s, which does not exist", page, name[1])
			for _, fn := range fns {
				require.False(t, page == "docs/guarantees.md" && skips(fn),
					"%s names %s, which may skip itself", page, name[1])
			}
		}
	}
}

// skips reports whether a function calls Skip, Skipf or SkipNow itself.
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
