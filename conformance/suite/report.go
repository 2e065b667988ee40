package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// report prints the table, the failed tests, and the known failures with their reasons. If the run
// is complete and its counts differ from the published client's, it also prints the skipped tests.
// It returns false if a test failed, if none has passed, or if those counts differ.
func report(out io.Writer, m mode, results []*result, complete bool) bool {
	var passed, failed, skipped int
	var seconds float64
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "passed\tfailed\tskipped\tseconds\t  package")
	for _, r := range results {
		fmt.Fprintf(t, "%d\t%d\t%d\t%.0f\t  %s\n", len(r.passed), len(r.failed), len(r.skipped),
			r.seconds, m.short(r.pkg))
		passed, failed, skipped, seconds = passed+len(r.passed), failed+len(r.failed),
			skipped+len(r.skipped), seconds+r.seconds
	}
	fmt.Fprintf(t, "%d\t%d\t%d\t%.0f\t  all\n", passed, failed, skipped, seconds)
	t.Flush()
	for _, r := range results {
		for _, test := range r.failed {
			fmt.Fprintln(out, r.story(test))
		}
	}
	for _, r := range results {
		for _, known := range r.known {
			fmt.Fprintln(out, "known to fail:", known)
		}
	}
	ok := failed == 0
	switch {
	case passed == 0 && ok:
		fmt.Fprintln(out, "no test has run")
		return false
	case complete && ok && (passed != m.passed || skipped != m.skipped):
		fmt.Fprintf(out, "%d passed and %d skipped, where the published client has %d and %d\n",
			passed, skipped, m.passed, m.skipped)
		for _, r := range results {
			for _, test := range r.skipped {
				fmt.Fprintln(out, r.story(test))
			}
		}
		return false
	}
	return ok
}
