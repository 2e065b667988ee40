package judge

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

func TestWritesCountsWhatWasApplied(t *testing.T) {
	h := History{{Rev: 2, Value: "1:"}, {Rev: 3, Value: "2:"}, {Rev: 4, Value: "2:"},
		{Rev: 5, Value: "before"}, {Rev: 6, Value: "2:"}, {Rev: 7, Value: "4:"}}
	require.Equal(t, Written{Twice: 1, Missing: 1, Applied: 1},
		Writes(h, []int64{1, 2, 3}, []int64{4, 5}))
}

func TestLeasesAreLostByTheClientOrByTheMembers(t *testing.T) {
	kept := []record.Lease{{ID: 1}, {ID: 2, Closed: 7}, {ID: 3}}
	require.Equal(t, 2, Leases(kept, []int64{1, 2}))
	require.Equal(t, 1, Orphans(record.Record{Leases: kept, Granted: []int64{5}},
		[]int64{1, 2, 3, 5, 9}))
}

func TestOverlapsFindsTwoHolders(t *testing.T) {
	require.Zero(t, Overlaps([]record.Hold{{Start: 20, End: 30}, {Start: 10, End: 20}}))
	require.Equal(t, 1, Overlaps([]record.Hold{{Start: 19, End: 30}, {Start: 10, End: 20}}))
	require.Equal(t, 2, Overlaps([]record.Hold{{Start: 1, End: 100}, {Start: 2, End: 3},
		{Start: 50, End: 60}}))
}

func TestLinearizableRefuses(t *testing.T) {
	put := record.Op{Key: "k", Kind: "put", Value: "1:", Start: 1, End: 2}
	for name, tc := range map[string]struct {
		second record.Op
		want   porcupine.CheckResult
	}{
		"stale read":            {record.Op{Kind: "get", Start: 3, End: 4}, porcupine.Illegal},
		"read during the write": {record.Op{Kind: "get", Start: 1, End: 4}, porcupine.Ok},
		"read": {record.Op{Kind: "get", Seen: "1:", Start: 3, End: 4},
			porcupine.Ok},
		"failed read": {record.Op{Kind: "get", Unknown: true, Start: 3}, porcupine.Ok},
		"swap": {record.Op{Kind: "swap", Old: "1:", Value: "2:", Done: true, Start: 3, End: 4},
			porcupine.Ok},
		"swap not done": {record.Op{Kind: "swap", Old: "1:", Value: "2:", Start: 3, End: 4},
			porcupine.Illegal},
		"swap of another value": {record.Op{Kind: "swap", Old: "0:", Value: "2:", Done: true,
			Start: 3, End: 4}, porcupine.Illegal},
	} {
		tc.second.Key = "k"
		require.Equal(t, tc.want, Linearizable(nil, []record.Op{put, tc.second}), name)
	}
	require.Empty(t, Linearizable(nil, nil))
}

func TestFailedWriteCountsIfItWasApplied(t *testing.T) {
	ops := []record.Op{{Key: "k", Kind: "put", Value: "1:", Unknown: true, Start: 1, End: 2},
		{Key: "k", Kind: "get", Seen: "1:", Start: 5, End: 6}}
	require.Equal(t, porcupine.Illegal, Linearizable(nil, ops))
	require.Equal(t, porcupine.Ok, Linearizable(History{{Rev: 2, Value: "1:"}}, ops))
}

func TestStallIsTheLongestGap(t *testing.T) {
	counts := []int32{1, 0, 0, 1, 0, 1}
	at := func(i int64) int64 { return 1000 + i*record.Bucket }
	require.Equal(t, 20*time.Millisecond, Stall(counts, 1000, at(0), at(6)))
	require.Equal(t, 10*time.Millisecond, Stall(counts, 1000, at(2), at(6)))
	require.Equal(t, 40*time.Millisecond, Stall(counts, 1000, at(3), at(10)))
}

func TestThroughputComparesTheFaultWithBefore(t *testing.T) {
	r := Run{Phases: Phases{Before: 0, Fault: 4 * record.Bucket, Healed: 6 * record.Bucket,
		End: 7 * record.Bucket},
		Record: record.Record{Reads: []int32{2, 2, 2, 2, 1, 0, 9}, Writes: []int32{0, 0, 0, 0, 1},
			FailedReads: []int64{1}, Usage: []record.Usage{{At: 4 * record.Bucket, CPU: 5},
				{At: 6 * record.Bucket, CPU: 5 + record.Bucket, Goroutines: 3}}}}
	f := Judge(r)
	require.Equal(t, 0.5, f.Throughput)
	require.Equal(t, 1, f.FailedReads)
	require.Equal(t, 10*time.Millisecond, f.ReadStall)
	require.Equal(t, 500*time.Millisecond, f.CPU)
	require.Equal(t, 3, f.Goroutines)
	require.Empty(t, f.Violations())
}

func TestEveryBrokenPromiseIsNamed(t *testing.T) {
	f := Figures{History: "Illegal", Overlaps: 1, Watched: Watched{Lost: 2, Twice: 3, Disordered: 4,
		Wrong: 5}, Written: Written{Twice: 6, Missing: 7}}
	require.Len(t, f.Violations(), 8)
}
