package lint

import (
	"go/ast"
	"go/doc"
	"path"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Users copy examples into their programs, so an example must not import an internal package. Each
// example has an "Output:" comment, because go test does not run an example without one.
func TestExamplesAreExecutedAndCanBeCopied(t *testing.T) {
	m := loadModule(t)
	found := 0
	for _, f := range m.files {
		if !exampleFile(f) || under(f.Path, m.nested...) {
			continue
		}
		for _, spec := range f.AST.Imports {
			if !strings.HasPrefix(f.Path, "internal/") {
				require.NotContains(t, spec.Path.Value, "/internal/", f.Path)
			}
		}
		for _, example := range doc.Examples(f.AST) {
			found++
			require.True(t, example.Output != "" || example.EmptyOutput,
				"%s: Example%s has no // Output:", f.Path, example.Name)
		}
	}
	require.NotZero(t, found)
}

// Each exported function and method of a public package is used by an example of that package.
func TestExamplesUseEveryFunction(t *testing.T) {
	m := loadModule(t)
	byDir := map[string][]*File{}
	for _, f := range m.files {
		if m.public(f) || exampleFile(f) {
			byDir[f.Dir()] = append(byDir[f.Dir()], f)
		}
	}
	excepted := map[string]bool{}
	for _, name := range withoutExample {
		excepted[name] = true
	}
	for dir, files := range byDir {
		if under(dir, append(m.nested, "etcdfake", "cache", "internal")...) {
			continue
		}
		used := usedByExamples(files)
		for _, name := range exportedFunctions(files) {
			qualified := path.Join(dir, name)
			member := name[strings.LastIndex(name, ".")+1:]
			require.NotEqual(t, excepted[qualified], used[member],
				"%s: used by an example, or excepted in settings.go, and not both", qualified)
			delete(excepted, qualified)
		}
	}
	require.Empty(t, excepted, "settings.go excepts what does not exist")
}

func exampleFile(f *File) bool {
	name := path.Base(f.Path)
	return strings.HasPrefix(name, "example") && strings.HasSuffix(name, "_test.go") &&
		f.Dir() != "examples"
}

// usedByExamples returns the names that examples select, as Get in kv.Get.
func usedByExamples(files []*File) map[string]bool {
	used := map[string]bool{}
	for _, f := range files {
		if !exampleFile(f) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				used[selector.Sel.Name] = true
			}
			return true
		})
	}
	return used
}

// exportedFunctions returns the names of the exported functions, and of the exported methods of
// exported types and interfaces, as Type.Method.
func exportedFunctions(files []*File) []string {
	var names []string
	for _, f := range files {
		if f.Test() {
			continue
		}
		for _, decl := range f.AST.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if name := methodName(decl); ast.IsExported(decl.Name.Name) && name != "" {
					names = append(names, name)
				}
			case *ast.GenDecl:
				names = append(names, interfaceMethods(decl)...)
			}
		}
	}
	sort.Strings(names)
	return slices.Compact(names)
}

// methodName returns the name of a function, or Type.Method for a method. For a method of a type
// that is not exported, it returns "".
func methodName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	receiver := fn.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	name, ok := receiver.(*ast.Ident)
	if !ok || !name.IsExported() {
		return ""
	}
	return name.Name + "." + fn.Name.Name
}

// interfaceMethods are the exported methods of the exported interfaces in a declaration.
func interfaceMethods(decl *ast.GenDecl) []string {
	var names []string
	for _, spec := range decl.Specs {
		typ, ok := spec.(*ast.TypeSpec)
		if !ok || !typ.Name.IsExported() {
			continue
		}
		iface, ok := typ.Type.(*ast.InterfaceType)
		if !ok {
			continue
		}
		for _, method := range iface.Methods.List {
			for _, name := range method.Names {
				if name.IsExported() {
					names = append(names, typ.Name.Name+"."+name.Name)
				}
			}
		}
	}
	return names
}
