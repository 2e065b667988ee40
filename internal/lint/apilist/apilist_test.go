package apilist

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The golden file is in the format of the promised listings: exact text, since a changed parameter
// name is a changed line.
func TestLinesOfEachKindOfDeclaration(t *testing.T) {
	pkgs, err := Load("testdata/fixture", "./...")
	require.NoError(t, err)

	var got []string
	for _, pkg := range pkgs {
		got = append(got, Lines(pkg)...)
	}
	slices.Sort(got)

	want, err := os.ReadFile("testdata/fixture.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), strings.Join(got, "\n")+"\n")
}

func TestLoadNamesWhatDoesNotCompile(t *testing.T) {
	_, err := Load("testdata/fixture", "./nowhere")
	require.ErrorContains(t, err, "./nowhere")
}
