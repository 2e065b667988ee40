// Package gobuild runs the go command in a module of this repository, with one of two etcd clients.
// One is this repository's client, which a replace directive in the module's go.mod selects. The
// other is the published client, for comparison.
package gobuild

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Client is the module path of the etcd client.
const Client = "go.etcd.io/etcd/client/v3"

// Module is a module that is built with this repository's client or with the published client.
type Module struct {
	dir     string
	modfile string // the go.mod file to use; "" means the module's own go.mod
}

// Own returns the module in dir with the client of this repository. It returns an error if the
// module's go.mod does not replace the published client by a directory.
func Own(ctx context.Context, dir string) (Module, error) {
	m := Module{dir: dir}
	used, err := m.ClientUsed(ctx)
	if err != nil {
		return Module{}, err
	}
	if !filepath.IsAbs(used) {
		return Module{}, fmt.Errorf("%s is %s, not a directory", Client, used)
	}
	return m, nil
}

// Published returns the module in dir, built with the published client. The module proxy provides
// this client, and the go.sum file named sums has its checksums. Published writes another go.mod to
// the directory scratch, without the replace directive that selects this repository's client.
func Published(ctx context.Context, dir, scratch, sums string) (Module, error) {
	m := Module{dir: dir}
	m, err := m.edited(ctx, filepath.Join(scratch, "published.mod"), "-dropreplace="+Client, sums)
	if err != nil {
		return Module{}, err
	}
	used, err := m.ClientUsed(ctx)
	if err == nil && filepath.IsAbs(used) {
		err = fmt.Errorf("%s is still %s", Client, used)
	}
	return m, err
}

// Without returns m with one file missing from a required module. It copies the module to the
// directory scratch, and removes the file from the copy. Another go.mod in scratch has a replace
// directive that points to the copy.
func (m Module) Without(ctx context.Context, scratch, module, file string) (Module, error) {
	if _, err := m.run(m.Go(ctx, "mod", "download", module)); err != nil {
		return Module{}, err
	}
	out, err := m.run(m.Go(ctx, "list", "-m", "-f", "{{.Dir}}", module))
	if err != nil {
		return Module{}, err
	}
	dir := filepath.Join(scratch, "without")
	if err := os.CopyFS(dir, os.DirFS(strings.TrimSpace(out))); err != nil {
		return Module{}, err
	}
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		return Module{}, err
	}
	return m.edited(ctx, filepath.Join(scratch, "without.mod"), "-replace="+module+"="+dir)
}

// edited returns m with a changed copy of its go.mod. It writes the copy to modfile, and changes it
// by "go mod edit" with the given option. The go.sum next to modfile has the checksums of m and of
// the files in sums.
func (m Module) edited(
	ctx context.Context, modfile, option string, sums ...string,
) (Module, error) {
	own := m.modfile
	if own == "" {
		own = filepath.Join(m.dir, "go.mod")
	}
	sumOf := func(mod string) string { return strings.TrimSuffix(mod, ".mod") + ".sum" }
	if err := concat(modfile, own); err != nil {
		return Module{}, err
	}
	if err := concat(sumOf(modfile), append(sums, sumOf(own))...); err != nil {
		return Module{}, err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "edit", option, modfile)
	cmd.Dir = m.dir
	_, err := m.run(cmd)
	return Module{dir: m.dir, modfile: modfile}, err
}

// concat writes the contents of several files, one after the other, to one file. The parameter to
// is the name of that file.
func concat(to string, files ...string) error {
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all = append(all, text...)
	}
	return os.WriteFile(to, all, 0o644)
}

// ClientUsed says which client the module uses. If go.mod replaces the client by a directory,
// ClientUsed returns the directory. Otherwise it returns the client's version.
func (m Module) ClientUsed(ctx context.Context) (string, error) {
	out, err := m.run(m.Go(ctx, "list", "-f",
		"{{with .Module}}{{with .Replace}}{{.Dir}}{{else}}{{.Version}}{{end}}{{end}}", Client))
	return strings.TrimSpace(out), err
}

// Go returns a go command that runs in the module's directory.
func (m Module) Go(ctx context.Context, subcommand string, args ...string) *exec.Cmd {
	all := []string{subcommand}
	if m.modfile != "" {
		// -mod=mod lets the go command add requirements of the published client, which the module's
		// own go.mod does not list.
		all = append(all, "-modfile="+m.modfile, "-mod=mod")
	}
	cmd := exec.CommandContext(ctx, "go", append(all, args...)...)
	cmd.Dir = m.dir
	return cmd
}

// Build builds the program in package pkg to file.
func (m Module) Build(ctx context.Context, pkg, file string) error {
	_, err := m.run(m.Go(ctx, "build", "-o", file, pkg))
	return err
}

// Packages returns the import paths of the packages that match a pattern of go list.
func (m Module) Packages(ctx context.Context, pattern string) ([]string, error) {
	out, err := m.run(m.Go(ctx, "list", pattern))
	return strings.Fields(out), err
}

// run runs a command and returns its standard output. If the command fails, the error has the
// command's standard output and standard error.
func (m Module) run(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}
