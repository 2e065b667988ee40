package main

import (
	"fmt"
	"go/types"
	"reflect"
	"slices"
	"strings"
)

// listing returns the lines of pkg, sorted. Besides exported names it has the unexported methods of
// exported interfaces, because they decide who can implement those.
func listing(pkg *types.Package) []string {
	l := &lister{pkg: pkg}
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		if obj := scope.Lookup(name); obj.Exported() {
			l.object(obj)
		}
	}
	slices.Sort(l.lines)
	return l.lines
}

// lister collects the lines that list the exported API of one package.
type lister struct {
	pkg   *types.Package
	lines []string
}

func (l *lister) add(format string, args ...any) {
	l.lines = append(l.lines, l.pkg.Path()+": "+fmt.Sprintf(format, args...))
}

func (l *lister) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Const:
		l.add("const %s %s = %s", obj.Name(), l.typ(obj.Type()), obj.Val().ExactString())
	case *types.Var:
		l.add("var %s %s", obj.Name(), l.typ(obj.Type()))
	case *types.Func:
		l.add("func %s%s", obj.Name(), l.signature(obj))
	case *types.TypeName:
		l.typeName(obj)
	}
}

func (l *lister) typeName(obj *types.TypeName) {
	if obj.IsAlias() {
		l.add("type %s = %s", obj.Name(), l.aliased(obj.Type()))
		return
	}
	named := obj.Type().(*types.Named)
	head := obj.Name() + l.typeParams(named.TypeParams())
	switch under := named.Underlying().(type) {
	case *types.Struct:
		l.add("type %s struct", head)
		l.fields(head, under)
	case *types.Interface:
		l.add("type %s interface", head)
		l.interfaceMethods(head, under)
	default:
		l.add("type %s %s", head, l.typ(under))
	}
	for m := range named.Methods() {
		if m.Exported() {
			l.add("method (%s) %s%s", l.receiver(m), m.Name(), l.signature(m))
		}
	}
}

func (l *lister) fields(head string, s *types.Struct) {
	for i := range s.NumFields() {
		f := s.Field(i)
		if !f.Exported() {
			continue
		}
		line := fmt.Sprintf("type %s struct, %s %s", head, f.Name(), l.typ(f.Type()))
		if tag := s.Tag(i); tag != "" && !generated(tag) {
			line += " `" + tag + "`"
		}
		if f.Embedded() {
			line += " (embedded)"
		}
		l.add("%s", line)
	}
}

// generated reports whether a field's tag is generated for a protobuf message. Such a tag is not
// listed, because programs do not read it.
func generated(tag string) bool {
	_, ok := reflect.StructTag(tag).Lookup("protobuf")
	return ok
}

func (l *lister) interfaceMethods(head string, it *types.Interface) {
	for m := range it.ExplicitMethods() {
		l.add("type %s interface, %s%s", head, m.Name(), l.signature(m))
	}
	for t := range it.EmbeddedTypes() {
		l.add("type %s interface, embeds %s", head, l.typ(t))
	}
}

// aliased returns the type that an alias is declared as. If this type is an alias too, aliased
// returns its name.
func (l *lister) aliased(t types.Type) string {
	if a, ok := t.(*types.Alias); ok {
		t = a.Rhs()
	}
	return l.typ(t)
}

func (l *lister) receiver(m *types.Func) string {
	t := m.Signature().Recv().Type()
	if p, ok := t.(*types.Pointer); ok {
		return "*" + l.typ(p.Elem())
	}
	return l.typ(t)
}

// signature is the function's type without the word func.
func (l *lister) signature(f *types.Func) string {
	return strings.TrimPrefix(l.typ(f.Signature()), "func")
}

func (l *lister) typeParams(list *types.TypeParamList) string {
	if list.Len() == 0 {
		return ""
	}
	var parts []string
	for p := range list.TypeParams() {
		parts = append(parts, p.Obj().Name()+" "+l.typ(p.Constraint()))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func (l *lister) typ(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == l.pkg {
			return ""
		}
		return p.Path()
	})
}
