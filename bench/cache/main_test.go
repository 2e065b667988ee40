package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == feedCommand {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestBadFlagsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-keys", "0"}, {"-keys", "x"}, {"-keys", "5,3"},
		{"-for", "0s"}, {"more"}} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, args)
	}
}

func TestAllLinesAreMeasured(t *testing.T) {
	out := filepath.Join(t.TempDir(), "report.md")
	s, err := parse([]string{"-keys", "300", "-for", "50ms", "-out", out}, io.Discard)
	require.NoError(t, err)
	require.NoError(t, run(t.Context(), s, io.Discard))
	report, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, 1+2+1+6+2+2+2, strings.Count(string(report), "\n| ")-1, "%s", report)
}
