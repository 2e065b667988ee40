package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

func TestBadFlagsAreRefused(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"put"}, `"put" is no flag`},
		{[]string{"-run", "put,dig"}, `-run "dig" is none of put, get`},
		{[]string{"-table", "dig"}, `-table "dig" is none of cost, real, growth, memory`},
		{[]string{"-rounds", "-2"}, "-rounds -2 is not between 0 and 1000"},
		{[]string{"-rounds", "0"}, "no -samples"},
		{[]string{"-for", "0s"}, "-for 0s is not between"},
	} {
		_, err := parse(test.args, io.Discard)
		require.ErrorContains(t, err, test.want)
	}
	s, err := parse([]string{"-run", "get,put"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "get", s.works[0].name)
	require.Len(t, s.works, 2)
}

// twoRounds returns two rounds of samples of every workload. The parameter cpu has the CPU time of
// each contender in the first and the second round.
func twoRounds(cpu map[string][2]time.Duration) *results {
	r := &results{}
	for round := range 2 {
		for _, w := range costWorks {
			for _, contender := range w.contenders() {
				r.add(figures.Sample{Work: w.name, Contender: contender, Ops: 9,
					CPU: cpu[contender][round], Allocs: 1234, P99: time.Millisecond,
					Versions: someVersions(contender)})
			}
		}
	}
	return r
}

func someVersions(contender string) map[string]string {
	if contender == figures.Published {
		return map[string]string{gobuild.Client: "v3.7.3", "go": "go1"}
	}
	return map[string]string{gobuild.Client: "(devel)", "go": "go1"}
}

var someCPU = map[string][2]time.Duration{
	figures.This:      {1000, 3000},
	figures.Published: {2000, 6000},
	figures.Stub:      {1000, 1000},
}

func TestComparisonDividesWithinRounds(t *testing.T) {
	c := twoRounds(someCPU).comparisons(costWorks)[0]
	require.Equal(t, 2, c.rounds())
	require.Equal(t, 2000.0, c.median(cpu, figures.This))
	require.Equal(t, 2.0, c.ratio(cpu, figures.This, figures.Stub))
	require.Equal(t, 0.5, c.ratio(cpu, figures.This, figures.Published))
	require.False(t, cpuOfStub(1.05).met(c))
	require.True(t, cpuOfPublished(0.8).met(c))
	require.True(t, allocs(1234).met(c))
	require.True(t, allocsOverStub(0).met(c))
	require.True(t, p99NotWorse.met(c))
}

func TestReportHasATableForEachMetric(t *testing.T) {
	report, err := twoRounds(someCPU).report(context.Background(), costTable)
	require.NoError(t, err)
	for _, want := range []string{
		"published v3.7.3", "medians of 2 rounds",
		"\n## Targets\n\n| work ", "\n## CPU an operation\n",
		"| Put of 256 B, 64 callers ", "| 2.0 µs | 4.0 µs    | 1.0 µs | 2.00        | 4.00 ",
		"| 1,234 ", "| **no** |",
	} {
		require.Contains(t, report, want)
	}
	require.NotContains(t, report, "p50")
}

func TestReportRefusesBuildsThatDiffer(t *testing.T) {
	r := twoRounds(someCPU)
	r.samples[0].Versions["go"] = "go2"
	_, err := r.report(context.Background(), costTable)
	require.ErrorContains(t, err, "this was built with go go2, published with go1")

	r = twoRounds(someCPU)
	r.samples[0].Versions[gobuild.Client] = "v3.7.3"
	_, err = r.report(context.Background(), costTable)
	require.ErrorContains(t, err, "this was built with the published client")

	_, err = new(results).report(context.Background(), costTable)
	require.ErrorContains(t, err, "no workload has samples of all contenders")
}

func TestSamplesAreKeptInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "samples")
	var empty, again results
	require.NoError(t, empty.load(file))
	r := twoRounds(someCPU)
	require.NoError(t, r.save(file))
	require.NoError(t, again.load(file))
	require.Equal(t, r.samples, again.samples)
	few := costTable
	few.rounds = 2
	require.True(t, again.complete(few))
	require.False(t, again.complete(costTable))

	require.NoError(t, os.WriteFile(file, []byte("no JSON\n"), 0o600))
	require.ErrorContains(t, again.load(file), `holds "no JSON"`)
}

func TestChartIsDrawn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.svg")
	require.NoError(t, twoRounds(someCPU).chart(file, costWorks))
	svg, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(svg), "published client")
}

func TestNumbers(t *testing.T) {
	require.Equal(t, "0.40", number(0.4))
	require.Equal(t, "85.4", number(85.4))
	require.Equal(t, "30,301", number(30300.6))
	require.Equal(t, "1,234,567", number(1234567))
	require.Equal(t, "999 ns", span(999))
	require.Equal(t, "1.50 ms", span(1.5e6))
}

func TestContendersTakeTurnsInBeingFirst(t *testing.T) {
	require.Equal(t, []string{"published", "stub", "this"}, turn(figures.Contenders, 1))
	require.Equal(t, figures.Contenders, turn(figures.Contenders, 3))
}
