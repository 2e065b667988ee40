package apilist

import (
	"fmt"
	"slices"
	"strings"
)

// pendingPackage precedes the path of a package whose promised lines are all pending.
const pendingPackage = "package "

// Record is what the project says about its API, to be held against what the code has.
type Record struct {
	// Promised lines, from any number of listings.
	Promised []string
	// Pending are promised lines that the code lacks, or "package PATH" where it lacks all of a
	// package's.
	Pending []string
	// Additions are lines beyond the promise.
	Additions []string
}

// Compare holds got, the listing of the code, against the record and returns one sentence for each
// difference, sorted; none where the two agree.
func (r Record) Compare(got []string) []string {
	c := comparison{
		promised:  set(r.Promised),
		pending:   set(r.Pending),
		additions: set(r.Additions),
		got:       set(got),
		packages:  map[string]bool{},
	}
	for _, line := range got {
		c.packages[packageOf(line)] = true
	}
	c.missing()
	c.stalePending()
	c.surplus()
	slices.Sort(c.problems)
	return c.problems
}

// StillPending returns the pending lines that got still lacks, in their order.
func (r Record) StillPending(got []string) []string {
	c := comparison{got: set(got), packages: map[string]bool{}}
	for _, line := range got {
		c.packages[packageOf(line)] = true
	}
	var keep []string
	for _, p := range r.Pending {
		if !c.arrived(p) {
			keep = append(keep, p)
		}
	}
	return keep
}

type comparison struct {
	promised, pending, additions, got map[string]bool
	packages                          map[string]bool // that got has lines of
	problems                          []string
}

func (c *comparison) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// missing reports promised lines that the code lacks without leave.
func (c *comparison) missing() {
	for line := range c.promised {
		if !c.got[line] && !c.pending[line] && !c.pending[pendingPackage+packageOf(line)] {
			c.problem("promised, but missing or changed: %s", line)
		}
	}
}

// stalePending reports pending lines that are there by now, and those that nobody promised.
func (c *comparison) stalePending() {
	promisedPackages := map[string]bool{}
	for line := range c.promised {
		promisedPackages[packageOf(line)] = true
	}
	for p := range c.pending {
		path, whole := strings.CutPrefix(p, pendingPackage)
		switch {
		case !c.promised[p] && (!whole || !promisedPackages[path]):
			c.problem("pending, but never promised: %s", p)
		case c.arrived(p):
			c.problem("pending, but present: %s", p)
		}
	}
}

// surplus reports what the code has beyond promise and additions, and additions that it does not
// have.
func (c *comparison) surplus() {
	for line := range c.got {
		if !c.promised[line] && !c.additions[line] {
			c.problem("neither promised nor an addition: %s", line)
		}
	}
	for line := range c.additions {
		switch {
		case c.promised[line]:
			c.problem("an addition, but promised: %s", line)
		case !c.got[line]:
			c.problem("an addition, but missing or changed: %s", line)
		}
	}
}

// arrived reports whether the code has what a pending line says it lacks.
func (c *comparison) arrived(pending string) bool {
	if path, whole := strings.CutPrefix(pending, pendingPackage); whole {
		return c.packages[path]
	}
	return c.got[pending]
}

// ParseListing returns the lines of a listing without blank lines and lines that start with "#".
func ParseListing(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// ParseReasoned is ParseListing for a listing where each line has a reason: a "#" line above it,
// which also covers the lines that follow up to the next blank line. A line without one is an
// error.
func ParseReasoned(text string) ([]string, error) {
	var lines []string
	reasoned := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			reasoned = false
		case strings.HasPrefix(line, "#"):
			reasoned = strings.Trim(line, "# ") != ""
		case !reasoned:
			return nil, fmt.Errorf("no reason stands above %q", line)
		default:
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// packageOf is the import path that a listing's line starts with.
func packageOf(line string) string {
	path, _, _ := strings.Cut(line, ": ")
	return path
}

func set(lines []string) map[string]bool {
	m := make(map[string]bool, len(lines))
	for _, l := range lines {
		m[l] = true
	}
	return m
}
