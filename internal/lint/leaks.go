package lint

import "go/ast"

// LeakChecked finds a package whose tests do not look for leaked goroutines in TestMain.
func LeakChecked(dir string, files []*File) []Finding {
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
	return []Finding{{Path: dir, Text: "no TestMain calls goleak.VerifyTestMain"}}
}
