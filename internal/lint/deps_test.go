package lint

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// linked are the modules that a program may link because it imports a public package. For some
// packages, the variable extra lists more modules.
var linked = []string{
	modulePath,
	"go.etcd.io/etcd/api/v3", "go.etcd.io/etcd/client/pkg/v3", "github.com/coreos/go-semver",
	"go.uber.org/zap", "go.uber.org/multierr",
	"google.golang.org/grpc", "google.golang.org/protobuf",
	"google.golang.org/genproto/googleapis/api", "google.golang.org/genproto/googleapis/rpc",
	"golang.org/x/net", "golang.org/x/sys", "golang.org/x/text",
	"github.com/golang/protobuf", "github.com/grpc-ecosystem/grpc-gateway/v2",
}

var extra = map[string][]string{
	"yaml": {"sigs.k8s.io/yaml", "go.yaml.in/yaml/v2"},
}

// forTests are the public packages that only tests import.
var forTests = map[string]bool{"etcdfake": true}

// neverLinked are packages of allowed modules, and of the standard library, that have no place in a
// user's program.
var neverLinked = []string{
	"testing", "expvar", "net/http/pprof", "google.golang.org/grpc/test", "go.uber.org/zap/zaptest",
	modulePath + "/internal/testkit/etcdtest", modulePath + "/internal/etcdfake",
	modulePath + "/internal/testkit/faultnet", modulePath + "/internal/lint",
}

// dep is one package that go list names as a dependency, with the path of its module.
type dep struct{ path, module string }

func TestUsersLinkOnlyWhatTheyAskedFor(t *testing.T) {
	m := loadModule(t)
	dirs := map[string]bool{}
	for _, f := range m.files {
		if m.public(f) {
			dirs[f.Dir()] = true
		}
	}
	require.True(t, dirs["."], "the root package was not looked at")
	for dir := range dirs {
		t.Run(dir, func(t *testing.T) {
			top, _, _ := strings.Cut(dir, "/")
			found := foreign(goListDeps(t, root, "./"+dir), slices.Concat(extra[top], linked))
			if forTests[dir] {
				found = slices.DeleteFunc(found, func(p string) bool { return p == "testing" })
			}
			require.Empty(t, found)
		})
	}
}

func TestForeignFindsWhatDoesNotBelong(t *testing.T) {
	allowed := []string{modulePath, "m.org/a"}
	require.Empty(t, foreign([]dep{{"fmt", ""}, {"net/http", ""}, {"m.org/a/b", "m.org/a"},
		{modulePath + "/internal/retry", modulePath}}, allowed))
	require.Equal(t, []string{"m.org/b/c", "net/http/pprof", "testing/synctest",
		modulePath + "/internal/testkit/etcdtest"}, foreign([]dep{
		{"m.org/b/c", "m.org/b"}, {"net/http/pprof", ""}, {"testing/synctest", ""},
		{modulePath + "/internal/testkit/etcdtest", modulePath},
	}, allowed))
}

// foreign returns the paths of the packages in deps that a user's program must not link: packages
// whose module is not in allowed, and packages in neverLinked.
func foreign(deps []dep, allowed []string) []string {
	modules := map[string]bool{"": true}
	for _, m := range allowed {
		modules[m] = true
	}
	var found []string
	for _, d := range deps {
		if !modules[d.module] || under(d.path, neverLinked...) {
			found = append(found, d.path)
		}
	}
	return found
}

// goListDeps lists what a program that imports the package in dir links.
func goListDeps(t *testing.T, root, dir string) []dep {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f",
		"{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", dir)
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err, "go list -deps %s", path.Clean(dir))
	var deps []dep
	for line := range strings.Lines(string(out)) {
		p, module, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		deps = append(deps, dep{p, module})
	}
	require.NotEmpty(t, deps)
	return deps
}
