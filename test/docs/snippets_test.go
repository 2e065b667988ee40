package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// imports are the packages that the Go code of a page may use without importing them.
var imports = map[string]string{
	"context":     `"context"`,
	"errors":      `"errors"`,
	"fmt":         `"fmt"`,
	"log":         `"log"`,
	"testing":     `"testing"`,
	"synctest":    `"testing/synctest"`,
	"time":        `"time"`,
	"rpctypes":    `"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"`,
	"cache":       `"go.etcd.io/etcd/client/v3/cache"`,
	"clientv3":    `clientv3 "go.etcd.io/etcd/client/v3"`,
	"concurrency": `"go.etcd.io/etcd/client/v3/concurrency"`,
	"etcdfake":    `"go.etcd.io/etcd/client/v3/etcdfake"`,
}

// TestGoCodeInPagesCompiles: all Go code in the pages compiles. It may be a whole program,
// functions, or statements that use the variables ctx and client.
func TestGoCodeInPagesCompiles(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for i, b := range p.blocks() {
			if b.language != "go" {
				continue
			}
			found++
			t.Run(fmt.Sprintf("%s/%d", p.name, i), func(t *testing.T) {
				t.Parallel()
				require.Empty(t, compile(t, complete(b.text)))
			})
		}
	}
	require.NotZero(t, found)
}

func TestBadGoCodeDoesNotCompile(t *testing.T) {
	require.NotEmpty(t, compile(t, complete("client.Put(ctx)\n")))
	require.NotEmpty(t, compile(t, complete("func f() { clientv3.None() }\n")))
	require.Empty(t, compile(t, complete("resp, err := client.Get(ctx, \"key\")\n")))
}

// complete adds to code what a Go file needs: a package clause, imports and a function around
// statements.
func complete(code string) string {
	if strings.HasPrefix(code, "package ") {
		return code
	}
	if !regexp.MustCompile(`(?m)^(func|type|var|const) `).MatchString(code) {
		code = "func statements(ctx context.Context, client *clientv3.Client) {\n" + code + "}\n"
	}
	file := "package snippet\n\nimport (\n"
	var names []string
	for name := range imports {
		if strings.Contains(code, name+".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		file += imports[name] + "\n"
	}
	return file + ")\n\n" + code
}

// compile returns the compiler's errors for code, except those about unused variables. It returns
// "" if there are none.
func compile(t *testing.T, code string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snippet.go")
	require.NoError(t, os.WriteFile(file, []byte(code), 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", "-o", os.DevNull, file)
	build.Dir = root
	out, err := build.CombinedOutput()
	if err == nil {
		return ""
	}
	var problems strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "declared and not used") {
			problems.WriteString(line)
		}
	}
	return problems.String()
}
