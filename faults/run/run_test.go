package main

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/faults/internal/judge"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

// TestJudgeFindsDefectsOfEitherClient: the judge finds no violation in an unchanged client program,
// but it finds each defect that is added on purpose. So a clean verdict means something.
func TestJudgeFindsDefectsOfEitherClient(t *testing.T) {
	t.Chdir("..")
	p, err := build(t.Context(), t.TempDir())
	require.NoError(t, err)
	sc := scenarios()[0]
	sc.length = time.Second
	whole := func(f judge.Figures) bool {
		return len(f.Violations()) == 0 && f.LeasesLost == 0 && f.Reopened == 0
	}
	for _, test := range []struct {
		contender, broken string
		found             func(judge.Figures) bool
	}{
		{record.This, "", whole},
		{record.Published, "lost", func(f judge.Figures) bool { return f.Lost > 0 }},
		{record.This, "write", func(f judge.Figures) bool { return f.Written.Twice > 0 }},
		{record.This, "history", func(f judge.Figures) bool { return f.History == "Illegal" }},
	} {
		t.Run(test.contender+test.broken, func(t *testing.T) {
			f, versions, err := sc.run(t.Context(), p, test.contender, test.broken)
			require.NoError(t, err)
			require.True(t, test.found(f), line(sc, f))
			own := versions[gobuild.Client] == "(devel)"
			require.Equal(t, test.contender == record.This, own, versions)
		})
	}
}

func TestFlagsNameScenarios(t *testing.T) {
	s, err := parse([]string{"-run", "reset,slow"}, io.Discard)
	require.NoError(t, err)
	require.Len(t, s.scenarios, 2)
	_, err = parse([]string{"-run", "none"}, io.Discard)
	require.ErrorContains(t, err, `"none"`)
	_, err = parse([]string{"reset"}, io.Discard)
	require.ErrorContains(t, err, `"reset"`)
}

func TestReportSaysWhereThePublishedClientDidBetter(t *testing.T) {
	sc := scenario{name: "fault", about: "It fails.", plan: usualLoad}
	all := []judge.Figures{
		{Scenario: "fault", Client: record.This, FailedReads: 9, Watched: judge.Watched{Lost: 1}},
		{Scenario: "fault", Client: record.Published, FailedReads: 1},
	}
	text := report(t.Context(), []scenario{sc}, results{Figures: all})
	require.Contains(t, text, "- fault: failed reads, 9 with this client and 1 with the published")
	require.Contains(t, text, "- fault, this client: 1 watch events lost")
	all[0], all[1] = all[1], all[0]
	all[0].Client, all[1].Client = record.This, record.Published
	text = report(t.Context(), []scenario{sc}, results{Figures: all})
	require.Contains(t, text, "In no scenario")
}

func TestResultsAreKeptWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "samples.json")
	var r results
	for range 2 {
		r.add(judge.Figures{Scenario: "fault", Client: record.This,
			Watched: judge.Watched{Twice: 1}, Written: judge.Written{Twice: 2}}, nil)
	}
	require.NoError(t, r.save(file))
	got, err := load(file)
	require.NoError(t, err)
	require.Equal(t, r, got)
	require.Len(t, got.Figures, 1)
	require.False(t, got.complete())
}
