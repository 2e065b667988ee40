package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"

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
		found := Words("a.md", "fine\n"+bad+"\n")
		require.Len(t, found, 1, bad)
		require.Contains(t, found[0], "a.md:2: ")
	}
	for _, good := range []string{
		"https://example.com/work/x", "unix:///tmp/x.sock", "an issue of time", "context.TODO()",
		`"TODO"`, "counted for now and then", "homework/root/x",
		"// HTTP2, S2A", `name := "W12"`,
	} {
		require.Empty(t, Words("a.md", good), good)
	}
}

// One licence covers all files (CONTRIBUTING.md). A copyright or licence line in a file would show
// that its code was copied from elsewhere.
func TestFilesHaveNoLicenceOfTheirOwn(t *testing.T) {
	header := regexp.MustCompile(`(?im)^\W*(copyright|licensed under|spdx-license)`)
	m := loadModule(t)
	require.Contains(t, m.paths, "LICENSE")
	for _, p := range m.paths {
		if p == "LICENSE" || !isText(p) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p)))
		require.NoError(t, err)
		require.NotRegexp(t, header, string(text), p)
	}
	require.Regexp(t, header, "// "+"Copyright 2020 somebody\n")
}

// The first section of the changelog is "Unreleased". The title of each other section is a version
// and its date.
func TestChangelogHasASectionForEachRelease(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	require.NoError(t, err)
	sections := regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, sections)
	require.Equal(t, "Unreleased", sections[0][1])
	for _, section := range sections[1:] {
		require.Regexp(t, `^v3\.[1-9]\d{2,}\.\d+, \d{4}-\d{2}-\d{2}$`, section[1])
	}
}

func TestLoadFindsWhatIsWrittenByHand(t *testing.T) {
	project := fstest.MapFS{}
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
		project[file] = &fstest.MapFile{Data: []byte(text)}
	}
	paths, files, err := Load(project)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"go.mod", "a.go", "tools/go.mod", "tools/deep/b.go", "tools/deep/README.md",
		"tools/deep/.hidden/run", "tools/deep/.hidden/run.go",
	}, paths)
	require.Len(t, files, 3)
}
