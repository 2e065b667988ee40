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

// event is one line of go test -json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// maxOutput is how many bytes of a test's output are stored, from its end. Servers that log into
// the output write a hundred megabytes in a run.
const maxOutput = 16 << 10

// result has the results of one package's tests.
type result struct {
	pkg     string
	passed  []string
	failed  []string
	skipped []string
	known   []string // expected failures, each with its reason from mode.known
	seconds float64

	ended   string            // how the package ended: pass, fail or skip; "" if it never ended
	outputs map[string][]byte // of tests that run, failed or were skipped; "" is the package's own
	running map[string]bool
}

// collect reads the events of one package's tests until r ends, and returns the result.
func collect(pkg string, r io.Reader) (*result, error) {
	res := &result{pkg: pkg, outputs: map[string][]byte{}, running: map[string]bool{}}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
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

// take records one line of what go test -json prints. A line that is not an event is output of the
// go command.
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

// finish records failures that go test reported without a "fail" event of a test. If the process
// died, the tests that were still running count as failed. If the package failed and no test did,
// the package itself counts as a failed test.
func (r *result) finish() {
	r.failed = append(r.failed, slices.Sorted(maps.Keys(r.running))...)
	if len(r.failed) == 0 && r.ended != "pass" && r.ended != "skip" {
		r.failed = append(r.failed, "(package)")
		r.outputs["(package)"] = r.outputs[""]
	}
}

// serverLog is in each line that a server in the tests' process logs. Such lines would hide why a
// test failed.
const serverLog = " logger.go:"

func (r *result) keep(test, output string) {
	if strings.Contains(output, serverLog) {
		return
	}
	stored := append(r.outputs[test], output...)
	// The output is cut only at twice the limit, so it is not copied for each new line.
	if over := len(stored) - maxOutput; over > maxOutput {
		stored = append(stored[:0], stored[over:]...)
	}
	r.outputs[test] = stored
}

// story returns the name of a failed or skipped test, and the end of its output.
func (r *result) story(test string) string {
	out := r.outputs[test]
	if over := len(out) - maxOutput; over > 0 {
		out = out[over:]
	}
	text := strings.TrimRight(string(out), "\n")
	return fmt.Sprintf("--- %s %s\n    %s", r.pkg, test, strings.ReplaceAll(text, "\n", "\n    "))
}
