package lint

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWords(t *testing.T) {
	for _, bad := range []string{
		"see " + "/wo" + "rk/main", `cd "/ho` + `me/me"`, "/ro" + "ot/x",
		"as behaviours" + ".md says", "in ../sha" + "red",
		"fixed by issue" + " 12", "see Issue" + " #7",
		"// TO" + "DO: later", "# FIX" + "ME", "<!-- HA" + "CK -->",
		"a map for " + "now.", "it is not implemented " + "yet", "work in " + "progress",
		"// as W" + "12 says",
	} {
		require.Len(t, Words("a.md", "fine\n"+bad+"\n"), 1, bad)
		require.Equal(t, 2, Words("a.md", "fine\n"+bad+"\n")[0].Line)
	}
	for _, good := range []string{
		"https://example.com/work/x", "unix:///tmp/x.sock", "an issue of time", "context.TODO()",
		`"TODO"`, "counted for now and then", "homework/root/x",
		"// HTTP2, S2A", `name := "W12"`,
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
