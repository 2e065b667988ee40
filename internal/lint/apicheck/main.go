// Command apicheck compares the module's exported API with the listings in api/.
//
//	go run ./internal/lint/apicheck          compare; status 1 if they differ
//	go run ./internal/lint/apicheck -list    print the listing of the code
//
// It runs in the module's root. Every file in api/ lists what the module promises to export, except
// additions.txt. That file lists what the module exports in addition, with a reason for each group.
//
// A line is "PACKAGE: DECLARATION", where types of other packages carry their full import path and
// types of the package itself carry none.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const additionsFile = "additions.txt"

func main() {
	list := flag.Bool("list", false, "print the listing of the code and compare nothing")
	flag.Parse()
	ok, err := run(os.Stdout, ".", *list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apicheck:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run reports whether the API of the module at root is exactly the API that the files in its
// directory api list. It prints each difference to out. If list is true, run only prints the API.
func run(out io.Writer, root string, list bool) (bool, error) {
	pkgs, err := load(root)
	if err != nil {
		return false, err
	}
	var got []string
	for _, pkg := range pkgs {
		got = append(got, listing(pkg)...)
	}
	slices.Sort(got)
	if list {
		_, err := fmt.Fprintln(out, strings.Join(got, "\n"))
		return true, err
	}
	promised, additions, err := readRecord(filepath.Join(root, "api"))
	if err != nil {
		return false, err
	}
	problems := compare(promised, additions, got)
	for _, p := range problems {
		fmt.Fprintln(out, p)
	}
	fmt.Fprintf(out, "api: %d lines promised, %d additions, %d differences\n",
		len(promised), len(additions), len(problems))
	return len(problems) == 0, nil
}

// compare returns one sentence for each difference.
func compare(promised, additions, got []string) []string {
	var problems []string
	for _, line := range promised {
		if !slices.Contains(got, line) {
			problems = append(problems, "promised, but missing or changed: "+line)
		}
		if slices.Contains(additions, line) {
			problems = append(problems, "an addition, but promised: "+line)
		}
	}
	for _, line := range additions {
		if !slices.Contains(got, line) {
			problems = append(problems, "an addition, but missing or changed: "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(promised, line) && !slices.Contains(additions, line) {
			problems = append(problems, "neither promised nor an addition: "+line)
		}
	}
	return problems
}

func readRecord(dir string) (promised, additions []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		lines, unexplained := parse(string(text))
		if filepath.Base(file) != additionsFile {
			promised = append(promised, lines...)
			continue
		}
		if len(unexplained) > 0 {
			return nil, nil, fmt.Errorf("%s: no reason stands above %q", additionsFile, unexplained)
		}
		additions = lines
	}
	if len(promised) == 0 {
		return nil, nil, fmt.Errorf("%s holds no promised listing", dir)
	}
	slices.Sort(promised)
	return slices.Compact(promised), additions, nil
}

// parse returns the lines of a listing, and those of them without a reason. A reason is a comment
// line, which begins with "#". It applies to all lines below it, up to the next empty line.
func parse(text string) (lines, unexplained []string) {
	reasoned := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			reasoned = false
		case strings.HasPrefix(line, "#"):
			reasoned = strings.Trim(line, "# ") != ""
		default:
			lines = append(lines, line)
			if !reasoned {
				unexplained = append(unexplained, line)
			}
		}
	}
	return lines, unexplained
}
