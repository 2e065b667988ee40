package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The golden file has the format of the files in api/. It is compared as exact text, so a changed
// parameter name is a difference.
func TestListShowsEachKindOfDeclaration(t *testing.T) {
	var out strings.Builder
	_, err := run(&out, "testdata/fixture", true)
	require.NoError(t, err)
	want, err := os.ReadFile("testdata/fixture.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}
