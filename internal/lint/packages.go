package lint

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// LeakChecked finds a package whose tests do not look for leaked goroutines in TestMain.
func LeakChecked(dir string, files []*File) []string {
	tests, checked := false, false
	for _, f := range files {
		tests = tests || f.Test()
		ast.Inspect(f.AST, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			checked = checked || ok && sel.Sel.Name == "VerifyTestMain"
			return !checked
		})
	}
	if !tests || checked {
		return nil
	}
	return []string{dir + ": no TestMain calls goleak.VerifyTestMain"}
}

var (
	firstCell = regexp.MustCompile(`(?m)^\| (` + "`[^|]+`" + `) \|`)
	codeSpan  = regexp.MustCompile("`([^`]+)`")
)

// PackageTable returns a problem for each directory in dirs that is missing from the tables of a
// Markdown text. It reads the first column of each table. A name that ends in "/..." stands for a
// directory and all directories below.
func PackageTable(text string, dirs []string) []string {
	var listed []string
	for _, cell := range firstCell.FindAllStringSubmatch(text, -1) {
		for _, span := range codeSpan.FindAllStringSubmatch(cell[1], -1) {
			listed = append(listed, span[1])
		}
	}
	var problems []string
	for _, dir := range dirs {
		if !slices.ContainsFunc(listed, func(name string) bool {
			top, tree := strings.CutSuffix(name, "/...")
			return dir == name || tree && under(dir, top)
		}) {
			problems = append(problems, fmt.Sprintf("no table has a row for %s", dir))
		}
	}
	return problems
}
