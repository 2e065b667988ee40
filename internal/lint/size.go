package lint

import (
	"fmt"
	"go/ast"
	"strings"
)

const (
	maxFileLines    = 500
	reportFileLines = 300
	maxFuncLines    = 70
	maxIndent       = 4
)

// FileSize finds a file that is too long.
func FileSize(f *File) []Finding {
	if n := len(f.Lines); n > maxFileLines {
		return []Finding{{Path: f.Path, Text: fmt.Sprintf("%d lines, at most %d: split it by topic",
			n, maxFileLines)}}
	}
	return nil
}

// FuncSize finds functions, function literals included, that are too long.
func FuncSize(f *File) []Finding {
	var found []Finding
	ast.Inspect(f.AST, func(n ast.Node) bool {
		name := "function literal"
		switch fn := n.(type) {
		case *ast.FuncDecl:
			name = fn.Name.Name
		case *ast.FuncLit:
		default:
			return true
		}
		if lines := f.line(n.End()) - f.line(n.Pos()) + 1; lines > maxFuncLines {
			found = append(found, f.finding(n.Pos(), "%s has %d lines, at most %d", name, lines,
				maxFuncLines))
			return false
		}
		return true
	})
	return found
}

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
