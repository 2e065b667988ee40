package apilist

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	lineA = "m/a: func A()"
	lineB = "m/a: func B(n int)"
	lineC = "m/c: func C()"
)

var compareCases = []struct {
	name   string
	record Record
	got    []string
	want   []string
}{
	{
		name:   "agree",
		record: Record{Promised: []string{lineA}, Additions: []string{lineB}},
		got:    []string{lineA, lineB},
	},
	{
		name:   "missing",
		record: Record{Promised: []string{lineA, lineB}},
		got:    []string{lineA},
		want:   []string{"promised, but missing or changed: " + lineB},
	},
	{
		name:   "changed parameter name",
		record: Record{Promised: []string{lineB}},
		got:    []string{"m/a: func B(m int)"},
		want: []string{
			"neither promised nor an addition: m/a: func B(m int)",
			"promised, but missing or changed: " + lineB,
		},
	},
	{
		name: "pending line and package",
		record: Record{Promised: []string{lineA, lineB, lineC},
			Pending: []string{lineB, "package m/c"}},
		got: []string{lineA},
	},
	{
		name:   "pending line that is present",
		record: Record{Promised: []string{lineA}, Pending: []string{lineA}},
		got:    []string{lineA},
		want:   []string{"pending, but present: " + lineA},
	},
	{
		name:   "pending package that is partly present",
		record: Record{Promised: []string{lineA, lineB}, Pending: []string{"package m/a"}},
		got:    []string{lineA},
		want:   []string{"pending, but present: package m/a"},
	},
	{
		name: "pending, but unknown",
		record: Record{Promised: []string{lineA},
			Pending: []string{"m/a: func X()", "package m/x"}},
		got: []string{lineA},
		want: []string{"pending, but never promised: m/a: func X()",
			"pending, but never promised: package m/x"},
	},
	{
		name:   "unlisted addition",
		record: Record{Promised: []string{lineA}},
		got:    []string{lineA, lineB},
		want:   []string{"neither promised nor an addition: " + lineB},
	},
	{
		name:   "additions that are gone or promised",
		record: Record{Promised: []string{lineA}, Additions: []string{lineA, lineB}},
		got:    []string{lineA},
		want: []string{"an addition, but missing or changed: " + lineB,
			"an addition, but promised: " + lineA},
	},
}

func TestCompare(t *testing.T) {
	for _, tt := range compareCases {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.record.Compare(tt.got))
		})
	}
}

func TestStillPendingDropsWhatArrived(t *testing.T) {
	r := Record{Pending: []string{"package m/a", "package m/c", lineB, lineC}}
	require.Equal(t, []string{"package m/c", lineC}, r.StillPending([]string{lineA, lineB}))
}

func TestParseListing(t *testing.T) {
	require.Equal(t, []string{lineA, lineB}, ParseListing("# head\n"+lineA+"\n\n"+lineB))
}

func TestParseReasoned(t *testing.T) {
	lines, err := ParseReasoned("# A tells what B cannot.\n" + lineA + "\n" + lineB +
		"\n\n# C counts.\n" + lineC + "\n")
	require.NoError(t, err)
	require.Equal(t, []string{lineA, lineB, lineC}, lines)

	for _, bad := range []string{lineA, "# why\n" + lineA + "\n\n" + lineB, "#\n" + lineA} {
		_, err := ParseReasoned(bad)
		require.ErrorContains(t, err, "no reason stands above", bad)
	}
}
