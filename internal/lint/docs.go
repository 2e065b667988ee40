package lint

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

// rowID is the name of a row in a table of requirements, such as a test's name may carry and a
// user's documentation may not.
var rowID = regexp.MustCompile(`\b[WLRACNS]\d{1,2}\b`)

// Documented finds exported declarations without documentation: functions, methods and types, whose
// comment begins with their name; constants and variables, alone or as a group; interface methods
// and struct fields, above or beside them, or by name in the comment above the lines that they
// stand in.
func Documented(f *File) []Finding {
	d := &docs{file: f}
	d.walk()
	return d.found
}

// DocWording finds what exported documentation does not speak of: rows of requirements, and where
// an API came from.
func DocWording(f *File) []Finding {
	d := &docs{file: f, text: func(d *docs, doc *ast.CommentGroup) {
		for _, bad := range []*regexp.Regexp{rowID,
			regexp.MustCompile(`(?i)\bupstream's (code|client|source)\b`)} {
			if m := bad.FindString(doc.Text()); m != "" {
				d.wording = append(d.wording,
					d.file.finding(doc.Pos(), "documentation mentions %q", m))
			}
		}
	}}
	d.walk()
	return d.wording
}

// docs walks over the exported declarations of a file.
type docs struct {
	file    *File
	text    func(*docs, *ast.CommentGroup) // not nil: gets each doc comment
	found   []Finding
	wording []Finding
}

func (d *docs) walk() {
	if d.file.AST.Doc != nil && d.text != nil {
		d.text(d, d.file.AST.Doc)
	}
	for _, decl := range d.file.AST.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Name.IsExported() && exportedReceiver(decl.Recv) {
				d.named(decl.Name, decl.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				d.spec(decl, spec)
			}
		}
	}
}

func (d *docs) spec(decl *ast.GenDecl, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return
		}
		doc := spec.Doc
		if doc == nil && !decl.Lparen.IsValid() {
			doc = decl.Doc
		}
		d.named(spec.Name, doc)
		d.members(spec)
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() {
				d.any(name.Pos(), name.Name, spec.Doc, spec.Comment, decl.Doc)
			}
		}
	}
}

func (d *docs) members(spec *ast.TypeSpec) {
	var list *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	var above *ast.CommentGroup // of the lines up to the next blank one
	end := 0
	for _, field := range list.List {
		if field.Doc != nil || d.file.line(field.Pos()) > end+1 {
			above = field.Doc
		}
		end = d.file.line(field.End())
		for _, name := range field.Names {
			if name.IsExported() {
				d.any(name.Pos(), spec.Name.Name+"."+name.Name, field.Doc, field.Comment,
					naming(above, name.Name))
			}
		}
	}
}

// naming is the comment if it mentions name.
func naming(c *ast.CommentGroup, name string) *ast.CommentGroup {
	if c != nil && regexp.MustCompile(`\b`+name+`\b`).MatchString(c.Text()) {
		return c
	}
	return nil
}

// named wants a comment that begins with the name that it explains.
func (d *docs) named(name *ast.Ident, doc *ast.CommentGroup) {
	d.any(name.Pos(), name.Name, doc)
	if doc == nil {
		return
	}
	words := strings.Fields(doc.Text())
	if len(words) > 1 && (words[0] == "A" || words[0] == "An" || words[0] == "The") {
		words = words[1:]
	}
	if len(words) == 0 || strings.TrimRight(words[0], ",:.") != name.Name &&
		words[0] != "Deprecated:" {
		d.found = append(d.found, d.file.finding(name.Pos(),
			"the comment of %s does not begin with its name", name.Name))
	}
}

// any wants at least one of the comments.
func (d *docs) any(pos token.Pos, name string, comments ...*ast.CommentGroup) {
	documented := false
	for _, c := range comments {
		if c == nil || strings.TrimSpace(c.Text()) == "" {
			continue
		}
		documented = true
		if d.text != nil {
			d.text(d, c)
		}
	}
	if !documented {
		d.found = append(d.found, d.file.finding(pos, "%s is exported and has no documentation",
			name))
	}
}

// exportedReceiver reports whether a method belongs to an exported type; functions do.
func exportedReceiver(recv *ast.FieldList) bool {
	if recv == nil {
		return true
	}
	t := recv.List[0].Type
	for {
		switch u := t.(type) {
		case *ast.StarExpr:
			t = u.X
		case *ast.IndexExpr:
			t = u.X
		case *ast.IndexListExpr:
			t = u.X
		case *ast.Ident:
			return u.IsExported()
		default:
			return false
		}
	}
}

// PackageDocumented finds a package none of whose files says what it is for.
func PackageDocumented(dir string, files []*File) []Finding {
	for _, f := range files {
		if f.AST.Doc != nil && strings.TrimSpace(f.AST.Doc.Text()) != "" {
			return nil
		}
	}
	return []Finding{{Path: dir, Text: "no file has a package comment"}}
}
