//go:build unix

package snapshot

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCommitWritesThroughToTheDisk shows that commit calls fsync on the part file before it renames
// the file. The part file is a pipe here, for which only fsync fails.
func TestCommitWritesThroughToTheDisk(t *testing.T) {
	dir := t.TempDir()
	p, err := createPart(filepath.Join(dir, "db"))
	require.NoError(t, err)
	require.NoError(t, p.discard())
	require.NoError(t, syscall.Mkfifo(p.Name(), 0o600))
	p.File, err = os.OpenFile(p.Name(), os.O_RDWR, 0)
	require.NoError(t, err)
	err = p.commit()
	var failed *os.PathError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "sync", failed.Op)
	assert.Empty(t, names(t, dir), "what may not be on the disk does not get the name")
}
