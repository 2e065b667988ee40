// Command apicheck holds the module's exported API against the listings in api/.
//
//	go run ./internal/lint/apicheck          compare; status 1 where they differ
//	go run ./internal/lint/apicheck -list    print the listing of the code
//	go run ./internal/lint/apicheck -prune   drop from api/pending.txt what the code has by now, then compare
//
// It runs in the module's root. Every file in api/ is a promise, but for two: pending.txt names
// promised lines, or whole packages, that are not there yet and can only shrink; additions.txt
// names what goes beyond the promise, each with its reason.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/v3/internal/lint/apilist"
)

const (
	pendingFile   = "pending.txt"
	additionsFile = "additions.txt"
)

func main() {
	list := flag.Bool("list", false, "print the listing of the code and compare nothing")
	prune := flag.Bool("prune", false, "first drop from api/"+pendingFile+" what the code has by now")
	flag.Parse()
	ok, err := run(os.Stdout, ".", *list, *prune)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apicheck:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run reports whether the module at root keeps its record.
func run(out io.Writer, root string, list, prune bool) (bool, error) {
	got, err := listing(root)
	if err != nil {
		return false, err
	}
	if list {
		_, err := fmt.Fprintln(out, strings.Join(got, "\n"))
		return true, err
	}
	record, err := readRecord(filepath.Join(root, "api"))
	if err != nil {
		return false, err
	}
	if prune {
		record.Pending = record.StillPending(got)
		if err := writePending(filepath.Join(root, "api", pendingFile),
			record.Pending); err != nil {
			return false, err
		}
	}
	problems := record.Compare(got)
	for _, p := range problems {
		fmt.Fprintln(out, p)
	}
	fmt.Fprintf(out, "api: %d lines promised, %d pending entries, %d additions, %d differences\n",
		len(record.Promised), len(record.Pending), len(record.Additions), len(problems))
	return len(problems) == 0, nil
}

func listing(root string) ([]string, error) {
	pkgs, err := apilist.Load(root, "./...")
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, pkg := range pkgs {
		lines = append(lines, apilist.Lines(pkg)...)
	}
	slices.Sort(lines)
	return lines, nil
}

func readRecord(dir string) (apilist.Record, error) {
	var r apilist.Record
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return r, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return r, err
		}
		switch filepath.Base(file) {
		case pendingFile:
			r.Pending = apilist.ParseListing(string(text))
		case additionsFile:
			if r.Additions, err = apilist.ParseReasoned(string(text)); err != nil {
				return r, fmt.Errorf("%s: %w", additionsFile, err)
			}
		default:
			r.Promised = append(r.Promised, apilist.ParseListing(string(text))...)
		}
	}
	if len(r.Promised) == 0 {
		return r, fmt.Errorf("%s holds no promised listing", dir)
	}
	slices.Sort(r.Promised)
	r.Promised = slices.Compact(r.Promised)
	return r, nil
}

const pendingHead = `# Promised, but not there yet: single lines, or "package PATH" for a whole package. Entries only ever leave;
# go run ./internal/lint/apicheck -prune drops those that the code has by now.
`

// writePending leaves no file where nothing is pending.
func writePending(file string, pending []string) error {
	if len(pending) == 0 {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	return os.WriteFile(file, []byte(pendingHead+strings.Join(pending, "\n")+"\n"), 0o644)
}
