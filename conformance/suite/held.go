package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

// heldUpBy is in the output of a test of the etcd project that skips itself because a goroutine of
// an earlier test is still there. The misspelling is in that output.
const heldUpBy = "Found leaked goroutined BEFORE test"

// clientFrames matches the stack of a goroutine that belongs to the client under test. Such a stack
// has a function of the client, or a function of gRPC that only the dialing side of a connection
// uses.
var clientFrames = regexp.MustCompile(`go\.etcd\.io/etcd/client/v3[./]|grpc\.\(\*(ClientConn|addrConn|clientStream)\)|transport\.(NewHTTP2Client|\(\*http2Client\))`)

// heldUp looks at the tests that have skipped themselves because they saw a goroutine of an earlier
// test. If the goroutine is the client's, the client has leaked it, and heldUp records the test as
// failed. heldUp returns the other tests, which are to be run again.
func (r *result) heldUp() (again []string) {
	for _, test := range slices.Clone(r.skipped) {
		switch out := r.outputs[test]; {
		case !strings.Contains(string(out), heldUpBy):
		case clientFrames.Match(out):
			r.skipped = remove(r.skipped, test)
			r.failed = append(r.failed, test)
		default:
			again = append(again, test)
		}
	}
	return again
}

// completed gets from heldUp the tests that are to be run again. It runs each of them in a process
// of its own, and puts the test's new result into res.
func completed(ctx context.Context, mod gobuild.Module, res *result, o options) error {
	for _, name := range res.heldUp() {
		fmt.Fprintln(os.Stderr, "did not start, and is started by itself:", res.story(name))
		o.run = exactly(name)
		alone, err := test(ctx, mod, res.pkg, o)
		if err != nil {
			return err
		}
		res.replace(name, alone)
	}
	return nil
}

// replace removes the test name from the skipped tests. It adds the results in the parameter alone,
// which come from a process that ran only this test.
func (r *result) replace(name string, alone *result) {
	r.skipped = append(remove(r.skipped, name), alone.skipped...)
	r.passed = append(r.passed, alone.passed...)
	r.failed = append(r.failed, alone.failed...)
	maps.Copy(r.outputs, alone.outputs)
	r.seconds += alone.seconds
}

// exactly returns the pattern for go test -run that matches one test or subtest.
func exactly(name string) string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(name), "/", "$/^") + "$"
}

func remove(names []string, name string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return n == name })
}
