package lint

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The map lists every file of the root package, and every other directory with a package.
func TestFileMapIsTrue(t *testing.T) {
	m := loadModule(t)
	text, err := os.ReadFile(filepath.Join(m.root, "DESIGN.md"))
	require.NoError(t, err)
	var names []string
	for _, f := range m.files {
		switch {
		case f.Test() || f.Dir() == "internal/deps":
		case f.Dir() == ".":
			names = append(names, f.Path)
		case !slices.Contains(names, f.Dir()):
			names = append(names, f.Dir())
		}
	}
	require.Empty(t, FileMap(string(text), names))
}

func TestFileMapFindsWhatIsMissing(t *testing.T) {
	const design = "# Design\n\n## File map\n\n| files | hold |\n|---|---|\n| a.go, b.go | a · b |\n| internal/c | c |\n\n## Next\n\n| d.go | d |\n"
	require.Empty(t, FileMap(design, []string{"a.go", "b.go", "internal/c"}))
	require.Equal(t, []string{"d.go is not in the file map"},
		FileMap(design, []string{"a.go", "b.go", "d.go", "internal/c"}))
	require.Equal(t, []string{"the file map lists b.go, which does not exist"},
		FileMap(design, []string{"a.go", "internal/c"}))
	require.Equal(t, []string{"no section ## File map"}, FileMap("# Design\n", nil))
}
