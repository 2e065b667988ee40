package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var namedPath = regexp.MustCompile("`((?:internal|concurrency|docs)/[a-z0-9_/.]+|[a-z0-9_]+\\.go)`")

// The pages that say where things are name files and directories, which move.
func TestDocumentsNamePathsThatExist(t *testing.T) {
	root, err := Root(".")
	require.NoError(t, err)
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, name := range namedPath.FindAllStringSubmatch(string(text), -1) {
			found++
			_, err := os.Stat(filepath.Join(root, name[1]))
			require.NoError(t, err, "%s names %s", filepath.Base(page), name[1])
		}
	}
	require.NotZero(t, found)
}
