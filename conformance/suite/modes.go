package main

import (
	"path"
	"slices"
	"strings"
)

const testsModule = "go.etcd.io/etcd/tests/v3"

// mode is a set of the etcd project's tests.
type mode struct {
	name     string
	root     string   // a directory in the tests' module; the field packages is relative to it
	packages []string // the packages to test; if empty, all below root
	tags     string
	without  string // a file of the tests' module that cannot be built

	// These are the counts with the published client: tests that pass, and tests that skip
	// themselves. A complete run must have the same counts. Tests in the field known do not count.
	passed, skipped int

	known map[string]string // tests that this client is right to fail, each with the reason
}

// modes are the values of -mode.
var modes = []mode{
	{name: "client", root: "integration/clientv3", passed: 314, skipped: 5},
	{name: "proxy", root: "integration/clientv3", tags: "cluster_proxy", passed: 286, skipped: 9},
	{
		name: "integration", root: "integration",
		packages: []string{".", "embed", "proxy/grpcproxy", "snapshot"},
		// This file is for the module go.etcd.io/etcd/cache/v3, which the module proxy does not
		// have.
		without: "integration/cache_test.go",
		passed:  212, skipped: 8,
		known: map[string]string{
			"TestElectionWithAuthEnabled": "wants a leader whose lease has expired; " +
				"here Campaign checks its own key and ends with its session",
		},
	},
	{name: "common", root: "common", tags: "integration", passed: 530, skipped: 91},
}

func modeNames() string {
	var names []string
	for _, m := range modes {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

// importPath returns the import path of a directory below the mode's root.
func (m mode) importPath(dir string) string { return path.Join(testsModule, m.root, dir) }

// short returns the short name that the tables show for a package.
func (m mode) short(pkg string) string {
	return path.Join(m.name, strings.TrimPrefix(strings.TrimPrefix(pkg, m.importPath(".")), "/"))
}

// setAside moves the failed tests that are listed in m.known from r.failed to r.known.
func (m mode) setAside(r *result) {
	for _, test := range slices.Clone(r.failed) {
		if reason, ok := m.known[test]; ok {
			r.failed = remove(r.failed, test)
			r.known = append(r.known, test+": "+reason)
		}
	}
}
