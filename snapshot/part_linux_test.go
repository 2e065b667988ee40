package snapshot

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDirectoriesThatCannotBeSynced: some network file systems refuse to, as the
// kernel's own does. A snapshot that is saved there is saved all the same.
func TestDirectoriesThatCannotBeSynced(t *testing.T) {
	require.NoError(t, syncDir("/proc"))
}
