// Package build lets the go command work in this module with either client: the one of this
// repository, which go.mod puts in the place of the published one, or the published one itself, for
// comparison.
package build

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Client is the module whose implementations are told apart.
const Client = "go.etcd.io/etcd/client/v3"

// A Module is this module with one of the clients.
type Module struct {
	dir     string
	modfile string // "" for the module's own go.mod
}

// Own returns the module in dir with the client of this repository. It is an
// error if go.mod does not replace the published one by a directory.
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

// Published returns the module in dir with the published client, all other
// requirements being the same. It writes a go.mod of its own to scratch. The
// checksums of the published client are those in the go.sum at sums.
func Published(ctx context.Context, dir, scratch, sums string) (Module, error) {
	m := Module{dir: dir, modfile: filepath.Join(scratch, "published.mod")}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return Module{}, err
	}
	if err := os.WriteFile(m.modfile, mod, 0o644); err != nil {
		return Module{}, err
	}
	var sum []byte
	for _, file := range []string{filepath.Join(dir, "go.sum"), sums} {
		text, err := os.ReadFile(file)
		if err != nil {
			return Module{}, err
		}
		sum = append(sum, text...)
	}
	if err := os.WriteFile(filepath.Join(scratch, "published.sum"), sum, 0o644); err != nil {
		return Module{}, err
	}
	if out, err := m.run(exec.CommandContext(ctx, "go", "mod", "edit", "-dropreplace="+Client,
		m.modfile)); err != nil {
		return Module{}, fmt.Errorf("%w\n%s", err, out)
	}
	used, err := m.ClientUsed(ctx)
	if err == nil && filepath.IsAbs(used) {
		err = fmt.Errorf("%s is still %s", Client, used)
	}
	return m, err
}

// Without returns the module with a copy of another one that lacks a file, which go cannot be told
// otherwise. The copy and a go.mod of its own are written to scratch.
func (m Module) Without(ctx context.Context, scratch, module, file string) (Module, error) {
	out, err := m.run(m.Go(ctx, "list", "-m", "-f", "{{.Dir}}", module))
	if err != nil {
		return Module{}, fmt.Errorf("%w\n%s", err, out)
	}
	dir := filepath.Join(scratch, "without")
	if err := os.CopyFS(dir, os.DirFS(strings.TrimSpace(out))); err != nil {
		return Module{}, err
	}
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		return Module{}, err
	}
	own := m.modfile
	if own == "" {
		own = filepath.Join(m.dir, "go.mod")
	}
	copied := Module{dir: m.dir, modfile: filepath.Join(scratch, "without.mod")}
	for _, ext := range []string{".mod", ".sum"} {
		text, err := os.ReadFile(strings.TrimSuffix(own, ".mod") + ext)
		if err != nil {
			return Module{}, err
		}
		if err := os.WriteFile(strings.TrimSuffix(copied.modfile, ".mod")+ext, text,
			0o644); err != nil {
			return Module{}, err
		}
	}
	edit := exec.CommandContext(ctx, "go", "mod", "edit", "-replace="+module+"="+dir,
		copied.modfile)
	edit.Dir = m.dir
	if out, err := m.run(edit); err != nil {
		return Module{}, fmt.Errorf("%w\n%s", err, out)
	}
	return copied, nil
}

// ClientUsed is the directory or the version of the client that is built.
func (m Module) ClientUsed(ctx context.Context) (string, error) {
	out, err := m.run(m.Go(ctx, "list", "-f",
		"{{with .Module}}{{with .Replace}}{{.Dir}}{{else}}{{.Version}}{{end}}{{end}}", Client))
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return strings.TrimSpace(out), nil
}

// Go is a go command in the module. The first argument is the subcommand.
func (m Module) Go(ctx context.Context, subcommand string, args ...string) *exec.Cmd {
	all := []string{subcommand}
	if m.modfile != "" {
		all = append(all, "-modfile="+m.modfile)
	}
	cmd := exec.CommandContext(ctx, "go", append(all, args...)...)
	cmd.Dir = m.dir
	return cmd
}

// Build builds a program.
func (m Module) Build(ctx context.Context, pkg, file string) error {
	if out, err := m.run(m.Go(ctx, "build", "-o", file, pkg)); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Packages lists the packages that match a pattern.
func (m Module) Packages(ctx context.Context, pattern string) ([]string, error) {
	out, err := m.run(m.Go(ctx, "list", pattern))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w\n%s", pattern, err, out)
	}
	return strings.Fields(out), nil
}

// run returns the standard output, or both where the command fails.
func (m Module) run(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String(),
			fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return stdout.String(), nil
}
