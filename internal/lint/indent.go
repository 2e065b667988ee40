package lint

import (
	"go/ast"
	"strings"
)

const maxIndent = 4

// Indent finds statements that stand too deep. Formatting by gofmt makes the tabs before a
// statement its depth; tables of values and wrapped calls are no statements. In tests each function
// literal is a function of its own, as the bodies of subtests are: depth counts from where it
// stands.
func Indent(f *File) []Finding {
	var found []Finding
	seen := map[int]bool{}
	bases := literals(f)
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if _, ok := n.(ast.Stmt); !ok {
			return true
		}
		line := f.line(n.Pos())
		depth := f.tabs(line)
		for _, lit := range bases {
			if lit.Body.Pos() < n.Pos() && n.End() < lit.End() {
				depth = min(depth, f.tabs(line)-f.tabs(f.line(lit.End())))
			}
		}
		if depth > maxIndent && !seen[line] {
			seen[line] = true
			found = append(found, f.finding(n.Pos(), "indented %d deep, at most %d", depth,
				maxIndent))
		}
		return true
	})
	return found
}

func (f *File) tabs(line int) int {
	text := f.Lines[line-1]
	return len(text) - len(strings.TrimLeft(text, "\t"))
}

// literals are the function literals of a test file.
func literals(f *File) []*ast.FuncLit {
	var lits []*ast.FuncLit
	if !f.Test() {
		return nil
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if lit, ok := n.(*ast.FuncLit); ok {
			lits = append(lits, lit)
		}
		return true
	})
	return lits
}
