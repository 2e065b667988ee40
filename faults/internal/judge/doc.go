// Package judge compares what a client program has seen with what the members have recorded. It is
// pure: it reads two records and returns figures. The members' record comes from a watch on each
// member. These watches use gRPC's generated stubs, not one of the compared clients, and they do
// not pass through the proxies that make faults.
package judge

import (
	"slices"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// Change is one change of a key, as the members have recorded it. Its revision identifies it,
// because the load changes only one key in each revision.
type Change struct {
	Rev    int64
	Key    string
	Value  string // up to and including the first colon
	Delete bool
	Prev   int64 // the revision of the key's previous change, zero if the key did not exist
	At     int64 // when the observer first received the change from a member
}

// History has the changes in the order of their revisions.
type History []Change

// at returns the change of a revision.
func (h History) at(rev int64) (Change, bool) {
	i, found := slices.BinarySearchFunc(h, rev, func(c Change, rev int64) int {
		return int(c.Rev - rev)
	})
	if !found {
		return Change{}, false
	}
	return h[i], true
}

// Phases are times of a run: when the measurement before the fault begins, when the fault begins,
// when the fault has ended, and when the run ends.
type Phases struct{ Before, Fault, Healed, End int64 }

// Run is all that the judge reads.
type Run struct {
	History History
	Record  record.Record
	Phases  Phases
	Last    int64   // the last revision, which all watches were to deliver
	Alive   []int64 // the leases that the members have at the end
}
