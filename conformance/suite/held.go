package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/v3/conformance/internal/build"
)

// heldUpBy is what a test of the etcd project says that skips itself because a
// goroutine from before it is still there. Spelling is theirs.
const heldUpBy = "Found leaked goroutined BEFORE test"

// clientFrames are in the stacks of goroutines that the client under test owns: its
// own functions, and gRPC's for connections that are dialled.
var clientFrames = regexp.MustCompile(`go\.etcd\.io/etcd/client/v3[./]|grpc\.\(\*(ClientConn|addrConn|clientStream)\)|transport\.(NewHTTP2Client|\(\*http2Client\))`)

// heldUp are the tests that have not run for such a goroutine. Where it is the
// client's, the client has leaked it, and the test counts as failed.
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

// completed starts the tests that were held up once more, each in a process of its
// own, where nothing comes before it.
func completed(ctx context.Context, mod build.Module, res *result, o options) error {
	for _, name := range res.heldUp() {
		fmt.Fprintln(os.Stderr, "did not start, and is started by itself:", res.story(name))
		o.run, o.logs = exactly(name), ""
		alone, err := test(ctx, mod, res.pkg, o)
		if err != nil {
			return err
		}
		res.replace(name, alone)
	}
	return nil
}

// replace puts what a test did by itself in the place of its having been skipped.
func (r *result) replace(name string, alone *result) {
	r.skipped = remove(r.skipped, name)
	r.passed = append(r.passed, alone.passed...)
	r.failed = append(r.failed, alone.failed...)
	r.skipped = append(r.skipped, alone.skipped...)
	maps.Copy(r.outputs, alone.outputs)
	r.seconds += alone.seconds
}

// exactly is the pattern for go test -run that means one test or subtest.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

func remove(names []string, name string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return n == name })
}
