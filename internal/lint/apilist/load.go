package apilist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// listed is what go list says of one package.
type listed struct {
	ImportPath string
	Name       string
	Export     string // file with the compiled package's export data; "" if it has only tests
	DepOnly    bool   // not named by the patterns
}

// Load compiles the packages that patterns name, as seen from dir, and returns their types.
// Programs and packages that no other module can import (a path element "internal", or nothing but
// tests) are left out.
func Load(dir string, patterns ...string) ([]*types.Package, error) {
	all, err := goList(dir, patterns)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range all {
		exports[p.ImportPath] = p.Export
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		file := exports[path]
		if file == "" {
			return nil, fmt.Errorf("no export data of package %q", path)
		}
		return os.Open(filepath.Clean(file))
	})
	var pkgs []*types.Package
	for _, p := range all {
		if p.DepOnly || p.Name == "main" || p.Export == "" || internal(p.ImportPath) {
			continue
		}
		pkg, err := imp.Import(p.ImportPath)
		if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, pkg)
	}
	return pkgs, nil
}

func goList(dir string, patterns []string) ([]listed, error) {
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Name,Export,DepOnly",
		"--"}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(patterns, " "), err,
			stderr.Bytes())
	}
	var all []listed
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}

// internal reports whether path has an element that keeps other modules from importing it.
func internal(path string) bool {
	for elem := range strings.SplitSeq(path, "/") {
		if elem == "internal" {
			return true
		}
	}
	return false
}
