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
// does not say who stops them and who waits for them. The Go method of sync.WaitGroup and its like
// starts one too.
func Goroutines(f *File, allowed []string) []Finding {
	var found []Finding
	// the comment of the goroutine that starts on a line; those on the lines below share it
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

// commentAbove is the text of the comment that ends on the line above pos, "" where there is none.
func (f *File) commentAbove(pos token.Pos) string {
	line := f.line(pos)
	for _, group := range f.AST.Comments {
		if f.line(group.End()) == line-1 {
			return group.Text()
		}
	}
	return ""
}

// Sleeps finds waits that nothing can end early.
func Sleeps(f *File) []Finding {
	var found []Finding
	f.uses("time", []string{"Sleep", "After", "Tick"}, func(sel *ast.SelectorExpr) {
		found = append(found, f.finding(sel.Pos(),
			"time.%s: wait for a timer or a context that can be stopped", sel.Sel.Name))
	})
	return found
}

// WallClock finds times turned into numbers of the wall clock, in files that are not allowed to: a
// deadline kept so is wrong once the clock is set.
func WallClock(f *File, allowed []string) []Finding {
	if under(f.Path, allowed...) {
		return nil
	}
	var found []Finding
	ast.Inspect(f.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		switch sel.Sel.Name {
		case "UnixNano", "UnixMicro", "UnixMilli":
			found = append(found, f.finding(sel.Pos(),
				"%s: keep a time.Time, or what has passed since one (wallClockFiles in settings.go)",
				sel.Sel.Name))
		}
		return true
	})
	return found
}

// RootContexts finds contexts that nobody above can end, in files that are not allowed to make one.
func RootContexts(f *File, allowed []string) []Finding {
	if under(f.Path, allowed...) {
		return nil
	}
	var found []Finding
	f.uses("context", []string{"Background", "TODO"}, func(sel *ast.SelectorExpr) {
		found = append(found, f.finding(sel.Pos(),
			"context.%s: take the caller's or the owner's context (rootContextFiles in settings.go)", sel.Sel.Name))
	})
	return found
}

// Panics finds calls of panic in files that are not allowed to.
func Panics(f *File, allowed []string) []Finding {
	if under(f.Path, allowed...) {
		return nil
	}
	var found []Finding
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
			found = append(found, f.finding(n.Pos(),
				"panics; return an error (panicFiles in settings.go)"))
		}
		return true
	})
	return found
}

// Channels finds channel types, sends and receives: state machines have none.
func Channels(f *File) []Finding {
	var found []Finding
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
