package lint

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// Every directory with a package has a row in a table of the architecture page.
func TestArchitectureListsEveryPackage(t *testing.T) {
	m := loadModule(t)
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	require.NoError(t, err)
	var dirs []string
	for _, f := range m.files {
		if dir := f.Dir(); dir != "." && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	require.Empty(t, PackageTable(string(text), dirs))
}

func TestPackageTableFindsWhatIsMissing(t *testing.T) {
	const page = "# Page\n\n| directory | holds |\n|---|---|\n| `a`, `b/c` | a; c |\n\n" +
		"| `d/...` | d |\n\n`e`\n"
	require.Empty(t, PackageTable(page, []string{"a", "b/c", "d", "d/f"}))
	require.Equal(t, []string{"no table has a row for b", "no table has a row for e"},
		PackageTable(page, []string{"a", "b", "e"}))
}

var (
	pathInText = regexp.MustCompile("`([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*)`")
	linkInText = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	symbol     = regexp.MustCompile(`\.[A-Z]\w*$`) // .Name at the end of path/of/package.Name
)

// Each file and directory that a page names or links to exists. The function namesPath decides
// which words in backquotes are paths.
func TestDocumentsNamePathsThatExist(t *testing.T) {
	m := loadModule(t)
	found := 0
	for _, page := range m.paths {
		if path.Ext(page) != ".md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page)))
		require.NoError(t, err)
		for _, named := range pathsNamed(t, root, page, string(text)) {
			found++
			_, err := os.Stat(filepath.Join(root, filepath.FromSlash(named)))
			require.NoError(t, err, "%s names %s", page, named)
		}
	}
	require.NotZero(t, found)
}

// pathsNamed are the paths below root that the text of a page names or links to.
func pathsNamed(t *testing.T, root, page, text string) []string {
	var named []string
	for _, span := range pathInText.FindAllStringSubmatch(text, -1) {
		if namesPath(root, span[1]) {
			name := strings.TrimSuffix(span[1], "/...")
			named = append(named, symbol.ReplaceAllString(name, ""))
		}
	}
	for _, link := range linkInText.FindAllStringSubmatch(text, -1) {
		target, err := url.Parse(link[1])
		require.NoError(t, err, "%s links to %s", page, link[1])
		if !target.IsAbs() && target.Path != "" {
			named = append(named, path.Join(path.Dir(page), target.Path))
		}
	}
	return named
}

var (
	heading     = regexp.MustCompile(`(?m)^#+ (.+)$`)
	exampleLink = regexp.MustCompile(`\[([^\]]*Example[^\]]*)\]\(([^)\s]+)\)`)
	exampleName = regexp.MustCompile(`Example\w*`)
)

// Each link with a #fragment names a heading that exists, and each link whose text names examples
// leads to the file that declares them.
func TestLinksLeadToWhatTheyName(t *testing.T) {
	m := loadModule(t)
	headings, examples := 0, 0
	for _, page := range m.paths {
		if path.Ext(page) != ".md" {
			continue
		}
		text := readPage(t, page)
		for _, link := range linkInText.FindAllStringSubmatch(text, -1) {
			file, fragment, found := strings.Cut(link[1], "#")
			if !found || strings.Contains(file, "://") {
				continue
			}
			headings++
			target := text
			if file != "" {
				target = readPage(t, path.Join(path.Dir(page), file))
			}
			require.Contains(t, anchors(target), fragment, "%s links to %s", page, link[1])
		}
		for _, link := range exampleLink.FindAllStringSubmatch(text, -1) {
			source := readPage(t, path.Join(path.Dir(page), link[2]))
			for _, name := range exampleName.FindAllString(link[1], -1) {
				examples++
				require.Contains(t, source, "func "+name+"()", "%s links to %s", page, link[2])
			}
		}
	}
	require.NotZero(t, headings)
	require.NotZero(t, examples)
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

// anchors are the names that the headings of a page have in links.
func anchors(text string) []string {
	var names []string
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, match[1])
		names = append(names, name)
	}
	return names
}

// namesPath reports whether the text of a code span is meant to be a path below root.
func namesPath(root, name string) bool {
	top, _, deep := strings.Cut(name, "/")
	if !deep {
		return strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".md")
	}
	info, err := os.Stat(filepath.Join(root, top))
	return err == nil && info.IsDir() && top != "bin"
}

func TestNamesPath(t *testing.T) {
	for _, name := range []string{"kv.go", "README.md", "internal/lint", "docs/none"} {
		require.True(t, namesPath(root, name), name)
	}
	for _, name := range []string{"v1.2", "text/plain", "internal", "clientv3.New", "bin/etcd"} {
		require.False(t, namesPath(root, name), name)
	}
}
