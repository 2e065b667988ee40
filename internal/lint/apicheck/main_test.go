package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const source = `package tiny

func Here(n int) {}
`

// module lays out a module with one exported function and the given files in api/.
func module(t *testing.T, api map[string]string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "api"), 0o755))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
	}
	write("go.mod", "module example.com/tiny\n\ngo 1.26.0\n")
	write("tiny.go", source)
	for name, text := range api {
		write(filepath.Join("api", name), text)
	}
	return root
}

const (
	here  = "example.com/tiny: func Here(n int)\n"
	there = "example.com/tiny: func There()\n"
)

func TestRunComparesCodeAndRecord(t *testing.T) {
	for _, tt := range []struct {
		name string
		api  map[string]string
		ok   bool
		says string
	}{
		{"kept", map[string]string{"promise.txt": here}, true, "0 differences"},
		{"missing", map[string]string{"promise.txt": here + there}, false,
			"missing or changed: " + there},
		{"two promises", map[string]string{"a.txt": here, "b.txt": here + there}, false,
			"2 lines promised"},
		{"surplus", map[string]string{"promise.txt": there}, false,
			"neither promised nor an addition: " + here},
		{"changed parameter name", map[string]string{
			"promise.txt": "example.com/tiny: func Here(m int)\n"}, false,
			"neither promised nor an addition: " + here},
		{"addition", map[string]string{"promise.txt": here + there,
			additionsFile: "# why\n" + there}, false, "an addition, but promised: " + there},
		{"addition that is gone", map[string]string{"promise.txt": here,
			additionsFile: "# why\n" + there}, false,
			"an addition, but missing or changed: " + there},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			ok, err := run(&out, module(t, tt.api), false)
			require.NoError(t, err)
			require.Equal(t, tt.ok, ok, out.String())
			require.Contains(t, out.String(), tt.says)
		})
	}
}

func TestRunWithoutAPromiseIsAnError(t *testing.T) {
	_, err := run(&strings.Builder{}, module(t, nil), false)
	require.ErrorContains(t, err, "no promised listing")
}

func TestRunListPrintsTheCodesListing(t *testing.T) {
	var out strings.Builder
	ok, err := run(&out, module(t, nil), true)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, here, out.String())
}

func TestAdditionsNeedAReason(t *testing.T) {
	for _, text := range []string{here, "#\n" + here, "# why\n" + here + "\n" + there} {
		_, err := run(&strings.Builder{}, module(t,
			map[string]string{"promise.txt": here, additionsFile: text}), false)
		require.ErrorContains(t, err, "no reason stands above")
	}
}
