package judge

import (
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// Written is the verdict on writes with an id.
type Written struct {
	Twice   int // writes that were applied more than once
	Missing int // writes that succeeded but were not applied
	Applied int // writes that failed but were applied
}

// Writes compares the ids of the writes that succeeded (acked) and that failed (unsure) with the
// writes that the members have applied.
func Writes(h History, acked, unsure []int64) Written {
	var v Written
	applied := map[int64]int{}
	for _, c := range h {
		if id, found := idOf(c); found {
			if applied[id]++; applied[id] == 2 {
				v.Twice++
			}
		}
	}
	for _, id := range acked {
		if applied[id] == 0 {
			v.Missing++
		}
	}
	for _, id := range unsure {
		if applied[id] > 0 {
			v.Applied++
		}
	}
	return v
}

// idOf returns the id of the write that made a change.
func idOf(c Change) (int64, bool) {
	text, _, found := strings.Cut(c.Value, ":")
	id, err := strconv.ParseInt(text, 10, 64)
	return id, found && err == nil && !c.Delete
}

// Leases counts the leases that the client has lost: the members no longer have the lease, or its
// KeepAlive channel was closed. The client has to keep all these leases alive.
func Leases(leases []record.Lease, alive []int64) int {
	lost := 0
	for _, l := range leases {
		if l.Closed != 0 || !slices.Contains(alive, l.ID) {
			lost++
		}
	}
	return lost
}

// Orphans counts the leases that the members have and that no call returned.
func Orphans(r record.Record, alive []int64) int {
	known := map[int64]bool{}
	for _, l := range r.Leases {
		known[l.ID] = true
	}
	for _, id := range r.Granted {
		known[id] = true
	}
	orphans := 0
	for _, id := range alive {
		if !known[id] {
			orphans++
		}
	}
	return orphans
}

// Overlaps counts the holds that began before another hold had ended: two contenders believed at
// the same time that they held the lock or were the leader.
func Overlaps(holds []record.Hold) int {
	byStart := slices.SortedFunc(slices.Values(holds), func(a, b record.Hold) int {
		return int(a.Start - b.Start)
	})
	overlaps, end := 0, int64(0)
	for _, h := range byStart {
		if h.Start < end {
			overlaps++
		}
		end = max(end, h.End)
	}
	return overlaps
}
