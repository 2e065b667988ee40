package lint

import (
	"go/ast"
	"go/token"
	"regexp"
)

// Fields finds exported struct fields and interface methods without documentation. Documentation is
// a comment above the field, a comment on its line, or a mention of its name in the comment above
// the group of lines that it belongs to.
func Fields(f *File) []string {
	var found []string
	for _, decl := range f.AST.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			if t := spec.(*ast.TypeSpec); t.Name.IsExported() {
				found = append(found, f.members(t)...)
			}
		}
	}
	return found
}

func (f *File) members(spec *ast.TypeSpec) []string {
	var list *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return nil
	}
	var found []string
	var above *ast.CommentGroup // the comment above the group of fields, which a blank line ends
	end := 0
	for _, field := range list.List {
		if field.Doc != nil || f.line(field.Pos()) > end+1 {
			above = field.Doc
		}
		end = f.line(field.End())
		for _, name := range field.Names {
			if name.IsExported() && field.Doc == nil && field.Comment == nil &&
				!mentions(above, name.Name) {
				found = append(found, f.finding(name.Pos(),
					"%s.%s is exported and has no documentation", spec.Name.Name, name.Name))
			}
		}
	}
	return found
}

func mentions(c *ast.CommentGroup, name string) bool {
	return c != nil && regexp.MustCompile(`\b`+name+`\b`).MatchString(c.Text())
}
