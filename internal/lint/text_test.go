package lint

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDocumentationRuleFindsWhatBreaksIt(t *testing.T) {
	for _, s := range []snippet{
		{name: "function", check: Documented, src: "func Open() {}\n",
			want: []string{"x/x.go:2: Open is exported"}},
		{name: "method", check: Documented, src: "func (s *Set[T]) Add() {}\n",
			want: []string{"Add is exported"}},
		{name: "method of a hidden type", check: Documented, src: "func (s set) Add() {}\n"},
		{name: "other name first", check: Documented, src: "// Close opens.\nfunc Open() {}\n",
			want: []string{"does not begin with its name"}},
		{name: "article first", check: Documented,
			src: "// A Door opens.\ntype Door int\n\n// Open opens it.\nfunc Open() {}\n"},
		{name: "empty comment", check: Documented, src: "//\nfunc Open() {}\n",
			want: []string{"Open is exported", "does not begin"}},
		{name: "type", check: Documented, src: "type Door int\n",
			want: []string{"Door is exported"}},
		{name: "types in a group", check: Documented, src: "// Doors.\ntype (\n\tDoor int\n)\n",
			want: []string{"Door is exported"}},
		{name: "field", check: Documented, src: "// Door opens.\ntype Door struct {\n\tOpen bool\n\twidth int\n\tpart\n}\n", want: []string{"Door.Open is exported"}},
		{name: "field with a comment beside", check: Documented,
			src: "// Door opens.\ntype Door struct {\n\tOpen bool // to pass\n}\n"},
		{name: "field named above", check: Documented,
			src: door("Width and Height in metres.", "")},
		{name: "field not named above", check: Documented, src: door("Width in metres.", ""),
			want: []string{"Door.Height is exported"}},
		{name: "field apart from what names it", check: Documented,
			src:  door("Width and Height in metres.", "\n"),
			want: []string{"Door.Height is exported"}},
		{name: "interface method", check: Documented,
			src:  "// Door opens.\ntype Door interface {\n\tOpen()\n\tshut()\n}\n",
			want: []string{"Door.Open is exported"}},
		{name: "constants", check: Documented,
			src:  "const (\n\tOpen = 1\n\tshut = 2\n)\nvar Width int\n",
			want: []string{"Open is exported", "Width is exported"}},
		{name: "constants as a group", check: Documented,
			src: "// How a door stands.\nconst (\n\tOpen = 1\n\tShut = 2\n)\n"},

		{name: "row of a table", check: DocWording,
			src:  "// Open opens (row W12).\nfunc Open() {}\n\n// see R4\nfunc open() {}\n",
			want: []string{`"W12"`}},
		{name: "where it came from", check: DocWording,
			src: "// Door opens.\ntype Door struct {\n\tOpen bool // unlike upstream's " +
				"code\n}\n", want: []string{"upstream"}},
		{name: "plain words", check: DocWording,
			src: "// Open opens 2 doors with HTTP2 and S2A.\nfunc Open() {}\n"},

		{name: "package", check: packageDoc, src: "func f() {}\n",
			want: []string{"x: no file has a package comment"}},
	} {
		t.Run(s.name, s.run)
	}
}

func door(comment, between string) string {
	return "// Door opens.\ntype Door struct {\n\t// " + comment + "\n\tWidth int\n" + between +
		"\tHeight int\n}\n"
}

func packageDoc(f *File) []Finding { return PackageDocumented(f.Dir(), []*File{f}) }

func TestPackageDocumentedByOneOfItsFiles(t *testing.T) {
	one, err := Parse("x/a.go", "package x\n")
	require.NoError(t, err)
	other, err := Parse("x/b.go", "// Package x is documented.\npackage x\n")
	require.NoError(t, err)
	require.Empty(t, PackageDocumented("x", []*File{one, other}))
}

func TestWords(t *testing.T) {
	for _, bad := range []string{
		"see " + "/wo" + "rk/main", `cd "/ho` + `me/me"`, "/ro" + "ot/x",
		"as behaviours" + ".md says", "in ../sha" + "red",
		"fixed by issue" + " 12", "see Issue" + " #7",
		"// TO" + "DO: later", "# FIX" + "ME", "<!-- HA" + "CK -->",
		"a map for " + "now.", "it is not implemented " + "yet", "work in " + "progress",
	} {
		require.Len(t, Words("a.md", "fine\n"+bad+"\n"), 1, bad)
		require.Equal(t, 2, Words("a.md", "fine\n"+bad+"\n")[0].Line)
	}
	for _, good := range []string{
		"https://example.com/work/x", "unix:///tmp/x.sock", "an issue of time", "context.TODO()",
		`"TODO"`, "counted for now and then", "homework/root/x",
	} {
		require.Empty(t, Words("a.md", good), good)
	}
}

func TestRootAndPaths(t *testing.T) {
	top := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":                    "module " + modulePath + "\n",
		"a.go":                      "package a\n",
		"tools/go.mod":              "module " + modulePath + "/tools\n",
		"tools/deep/b.go":           "package b\n",
		".git/c.go":                 "not Go",
		"tools/deep/testdata/d.go":  "not Go",
		"bin/e.go":                  "not Go",
		"tools/deep/README.md":      "text",
		"tools/deep/.hidden/run":    "text",
		"tools/deep/.hidden/run.go": "package run\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(top, file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(top, file), []byte(text), 0o600))
	}

	root, err := Root(filepath.Join(top, "tools", "deep"))
	require.NoError(t, err)
	require.Equal(t, top, root)
	_, err = Root(t.TempDir())
	require.ErrorContains(t, err, "no go.mod of "+modulePath)

	paths, err := Paths(root)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"go.mod", "a.go", "tools/go.mod", "tools/deep/b.go", "tools/deep/README.md",
		"tools/deep/.hidden/run", "tools/deep/.hidden/run.go",
	}, paths)

	files, err := Load(root, paths)
	require.NoError(t, err)
	require.Len(t, files, 3)
}
