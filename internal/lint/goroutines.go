package lint

import (
	"go/ast"
	"go/token"
	"regexp"
)

var (
	saysStop = regexp.MustCompile(`(?i)\b(stop|end|exit|clos|cancel|return|quit|done)`)
	saysWait = regexp.MustCompile(`(?i)\b(wait|join)`)
)

// Goroutines finds goroutines that start in a file that is not allowed to, and those whose comment
// does not say who stops them and who waits for them. The method Go of sync.WaitGroup and of
// similar types starts one, too.
func Goroutines(f *File, allowed []string) []string {
	var found []string
	// The variable above maps the last line of a statement that starts a goroutine to the
	// goroutine's comment. The comment also covers a goroutine that starts on the next line.
	above := map[int]string{}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		stmt, ok := n.(ast.Stmt)
		if !ok || !startsGoroutine(stmt) {
			return true
		}
		if !under(f.Path, allowed...) {
			found = append(found, f.finding(n.Pos(),
				"starts a goroutine; goroutines belong to machinery (goroutineFiles in settings.go)"))
		}
		doc := f.commentAbove(n.Pos())
		if doc == "" {
			doc = above[f.line(n.Pos())-1]
		}
		above[f.line(n.End())] = doc
		if !saysStop.MatchString(doc) || !saysWait.MatchString(doc) {
			found = append(found, f.finding(n.Pos(),
				"the comment above does not say what stops this goroutine and who waits for it"))
		}
		return true
	})
	return found
}

func startsGoroutine(stmt ast.Stmt) bool {
	switch stmt := stmt.(type) {
	case *ast.GoStmt:
		return true
	case *ast.ExprStmt:
		call, ok := stmt.X.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return false
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Go"
	}
	return false
}

// commentAbove is the text of the comment that ends on the line above pos, or "".
func (f *File) commentAbove(pos token.Pos) string {
	line := f.line(pos)
	for _, group := range f.AST.Comments {
		if f.line(group.End()) == line-1 {
			return group.Text()
		}
	}
	return ""
}

// Channels finds channel types, sends and receives: state machines have none.
func Channels(f *File) []string {
	var found []string
	ast.Inspect(f.AST, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.ChanType:
			what = "a channel type"
		case *ast.SendStmt:
			what = "a send"
		case *ast.SelectStmt:
			what = "a select"
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				what = "a receive"
			}
		}
		if what != "" {
			found = append(found, f.finding(n.Pos(), "%s in a state machine", what))
		}
		return true
	})
	return found
}
