package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"go.etcd.io/etcd/client/v3/faults/internal/judge"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// results are the figures of each scenario with each client.
type results struct {
	Figures []judge.Figures
	// Versions has the versions of the modules in the program with the published client.
	Versions map[string]string
}

// load reads results from a file. If path is empty or the file does not exist, there are none.
func load(path string) (r results, err error) {
	if path == "" {
		return r, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return r, err
}

// save writes the results to the file path. It does nothing if path is empty.
func (r results) save(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// add puts figures in place of earlier ones of the same scenario and client.
func (r *results) add(f judge.Figures, versions map[string]string) {
	r.Figures = slices.DeleteFunc(r.Figures, func(old judge.Figures) bool {
		return old.Scenario == f.Scenario && old.Client == f.Client
	})
	r.Figures = append(r.Figures, f)
	if f.Client == record.Published {
		r.Versions = versions
	}
}

// complete reports whether every scenario has figures of both clients.
func (r results) complete() bool {
	return !slices.ContainsFunc(scenarios(), func(sc scenario) bool { return !r.has(sc) })
}

// has reports whether a scenario has figures of both clients.
func (r results) has(sc scenario) bool {
	return len(of(sc, r.Figures)) == len(record.Contenders)
}
