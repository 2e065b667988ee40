// Command onfake runs tests that use etcd servers. The tests get the fake server etcdfake instead
// of etcd. The command prints how many tests of each package pass. It fails if fewer than 95 %
// pass.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// event is one line of the output of go test -json.
type event struct{ Action, Package, Test, Output string }

// tally counts the results of a package's tests that use a server. needEtcd counts the tests that
// were skipped because the fake server cannot run them.
type tally struct{ passed, failed, needEtcd int }

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json", "-count=1"}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), "ETCD_TEST_ON=etcdfake")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output() // err is not checked here: it is not nil if any test has failed
	r := report{tests: make(map[[2]string]*test), packages: make(map[string]*tally)}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			r.add(e)
		}
	}
	if all := r.print(); all.share() < least {
		log.Fatalf("%v: fewer than %v %% pass", err, least)
	}
}

const least = 95 // the percentage of tests that must pass

// test holds what one test has printed so far. The output also shows whether the test uses a server
// (usesOne), and whether it was skipped because it needs a real etcd (skipped).
type test struct {
	output           strings.Builder
	usesOne, skipped bool
}

type report struct {
	tests    map[[2]string]*test
	packages map[string]*tally
}

// add records one line of output, or counts a test when it ends. The output of subtests belongs to
// their top-level test, and subtests are not counted.
func (r *report) add(e event) {
	name, _, isPart := strings.Cut(e.Test, "/")
	key := [2]string{e.Package, name}
	if r.tests[key] == nil {
		r.tests[key] = new(test)
	}
	t := r.tests[key]
	switch {
	case e.Action == "output":
		t.output.WriteString(e.Output)
		t.usesOne = t.usesOne || strings.Contains(e.Output, "etcdtest: on etcdfake")
		t.skipped = t.skipped || strings.Contains(e.Output, "on etcdfake, which has no")
	case isPart || e.Action != "pass" && e.Action != "fail" && e.Action != "skip":
	default:
		r.end(e, t)
	}
}

func (r *report) end(e event, t *test) {
	if e.Action == "fail" {
		fmt.Print(t.output.String())
	}
	if e.Test == "" || !t.usesOne {
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = new(tally)
		r.packages[e.Package] = p
	}
	switch {
	case e.Action == "fail":
		p.failed++
	case t.skipped:
		p.needEtcd++
	default:
		p.passed++
	}
}

func (r *report) print() tally {
	var sum tally
	for _, name := range slices.Sorted(maps.Keys(r.packages)) {
		p := r.packages[name]
		fmt.Printf("%-30s %v\n", strings.TrimPrefix(name, path.Dir(path.Dir(name))+"/"), *p)
		sum.passed += p.passed
		sum.failed += p.failed
		sum.needEtcd += p.needEtcd
	}
	fmt.Printf("%-30s %v\n", "all", sum)
	return sum
}

// share returns the percentage of tests that pass, among those that the fake server can run.
func (t tally) share() float64 {
	return 100 * float64(t.passed) / float64(max(t.passed+t.failed, 1))
}

func (t tally) String() string {
	return fmt.Sprintf("%3d of %3d pass (%3.0f %%), %2d need etcd", t.passed, t.passed+t.failed,
		t.share(), t.needEtcd)
}
