package snapshot

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// names returns the names of the files in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestPartFileBecomesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	require.NoError(t, os.WriteFile(path, []byte("before"), 0o644))
	p, err := createPart(path)
	require.NoError(t, err)
	_, err = p.WriteString("after")
	require.NoError(t, err)
	assert.Len(t, names(t, dir), 2, "the file that was there stays until commit")
	assert.Equal(t, ".part", filepath.Ext(p.Name()))
	require.NoError(t, p.commit())

	assert.Equal(t, []string{"db"}, names(t, dir))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "after", string(content))
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode())
	}
}

func TestPartFileIsDiscarded(t *testing.T) {
	dir := t.TempDir()
	p, err := createPart(filepath.Join(dir, "db"))
	require.NoError(t, err)
	require.NoError(t, p.discard())
	assert.Empty(t, names(t, dir))
}

func TestFailedCommitLeavesNoPartFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	p, err := createPart(path)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(path, 0o755)) // a file cannot be renamed to a directory
	assert.Error(t, p.commit())
	assert.Equal(t, []string{"db"}, names(t, dir))
}

// TestLongestNames: a snapshot may have the longest name that the file system allows. The part file
// has a shorter name.
func TestLongestNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("n", 240), strings.Repeat("n", 255),
		"n" + strings.Repeat("é", 127)} {
		dir := t.TempDir()
		p, err := createPart(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.True(t, utf8.ValidString(filepath.Base(p.Name())))
		require.NoError(t, p.commit())
		assert.Equal(t, []string{name}, names(t, dir))
	}
}

func TestPartFileOfTwoSavesDiffer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	a, err := createPart(path)
	require.NoError(t, err)
	b, err := createPart(path)
	require.NoError(t, err)
	assert.NotEqual(t, a.Name(), b.Name())
	require.NoError(t, a.commit())
	require.NoError(t, b.discard())
}

func TestPartFileNeedsAPlaceForAFile(t *testing.T) {
	dir := t.TempDir()
	_, err := createPart(dir)
	assert.ErrorContains(t, err, dir+" is not a regular file")
	_, err = createPart(filepath.Join(dir, "none", "db"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.Empty(t, names(t, dir))
}
