package lint

import (
	"go/ast"
	"strings"
)

// LeakChecked finds a package whose tests do not look for leaked goroutines in TestMain.
func LeakChecked(dir string, files []*File) []Finding {
	tests := false
	for _, f := range files {
		if !f.Test() {
			continue
		}
		tests = true
		checked := false
		f.uses("go.uber.org/goleak", []string{"VerifyTestMain"}, func(*ast.SelectorExpr) {
			checked = true
		})
		if checked {
			return nil
		}
	}
	if !tests {
		return nil
	}
	return []Finding{{Path: dir, Text: "no TestMain calls goleak.VerifyTestMain"}}
}

// soakSuffix ends the names of files whose tests may be skipped, because a make target runs them.
const soakSuffix = "soak_test.go"

// Skips finds tests that are skipped: what cannot run fails.
func Skips(f *File) []Finding {
	if strings.HasSuffix(f.Path, soakSuffix) {
		return nil
	}
	var found []Finding
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		switch sel.Sel.Name {
		case "Skip", "Skipf", "SkipNow":
			found = append(found, f.finding(n.Pos(),
				"skips a test; fail it, or move a long run to a file named *%s", soakSuffix))
		}
		return true
	})
	return found
}
