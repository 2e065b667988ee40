package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of go test -json, as far as it matters here.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// keptOutput bounds what is kept of each test's output: its end, in bytes.
// Servers that log into it write a hundred megabytes in a run.
const keptOutput = 16 << 10

// result is what one package's tests did.
type result struct {
	pkg     string
	passed  []string
	failed  []string
	skipped []string
	known   []string // failed as they should, each with the reason
	seconds float64

	// action that ended the package: pass, fail, skip; "" if it never ended
	ended   string
	outputs map[string][]byte // of tests that run, failed or were skipped; "" is the package's own
	running map[string]bool
}

// collect reads the events of one package's tests until r ends, and copies each
// line to raw.
func collect(pkg string, r io.Reader, raw io.Writer) (*result, error) {
	res := &result{pkg: pkg, outputs: map[string][]byte{}, running: map[string]bool{}}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if _, werr := raw.Write(line); werr != nil {
				return nil, werr
			}
			res.take(line)
		}
		if err == io.EOF {
			res.finish()
			return res, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// take counts one line. What is not an event is output of go itself.
func (r *result) take(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		r.keep("", string(line))
		return
	}
	switch e.Action {
	case "run":
		r.running[e.Test] = true
	case "output", "build-output":
		r.keep(e.Test, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.ended, r.seconds = e.Action, e.Elapsed
			return
		}
		r.end(e.Test, e.Action)
	}
}

func (r *result) end(test, action string) {
	delete(r.running, test)
	switch action {
	case "fail":
		r.failed = append(r.failed, test)
	case "skip":
		r.skipped = append(r.skipped, test)
	default:
		r.passed = append(r.passed, test)
		delete(r.outputs, test)
	}
}

// finish counts as failed what never ended: the tests during which the process
// died, or the package, where it failed without a test of it failing.
func (r *result) finish() {
	r.failed = append(r.failed, slices.Sorted(maps.Keys(r.running))...)
	if len(r.failed) == 0 && r.ended != "pass" && r.ended != "skip" {
		r.failed = append(r.failed, "(package)")
		r.outputs["(package)"] = r.outputs[""]
	}
}

// serverLog is in the lines that the servers in the tests' process log, which
// would hide why a test failed.
const serverLog = " logger.go:"

func (r *result) keep(test, output string) {
	if strings.Contains(output, serverLog) {
		return
	}
	kept := append(r.outputs[test], output...)
	if over := len(kept) - keptOutput; over > keptOutput { // one move for many lines
		kept = append(kept[:0], kept[over:]...)
	}
	r.outputs[test] = kept
}

// story describes one failed or skipped test, with the end of what it wrote.
func (r *result) story(test string) string {
	out := r.outputs[test]
	if over := len(out) - keptOutput; over > 0 {
		out = out[over:]
	}
	text := strings.TrimRight(string(out), "\n")
	return fmt.Sprintf("--- %s %s\n    %s", r.pkg, test, strings.ReplaceAll(text, "\n", "\n    "))
}
