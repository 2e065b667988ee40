package judge

import (
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// Watched is the verdict on what one watch, or several, have delivered.
type Watched struct {
	Lost       int // events that never came
	Twice      int // events that came again
	Disordered int // events that came after a later event, or after a notice of a later revision
	Wrong      int // events that differ from the members' history, or have no counterpart there
	Skipped    int // events that did not come, but were reported to the watch as compacted
	Stall      time.Duration
}

// Watch compares what a watch has delivered with the history up to the revision last. The stall of
// the watch is the longest time from when a member recorded a change until the client program got
// its event. For the stall, changes recorded before the time in the parameter since are ignored.
func Watch(h History, w record.Watch, last, since int64) Watched {
	var v Watched
	seen := map[int64]bool{}
	highest, promised, notices := int64(0), int64(0), w.Notices
	for i, e := range w.Events {
		for len(notices) > 0 && notices[0].After <= i {
			promised, notices = max(promised, notices[0].Rev), notices[1:]
		}
		change, found := h.at(e.Rev)
		switch {
		case seen[e.Rev]:
			v.Twice++
		case e.Rev < highest || e.Rev <= promised:
			v.Disordered++
		}
		if !found || !wanted(w, change) || e.Delete != change.Delete || e.Key != change.Key ||
			w.PrevKV && e.Prev != 0 && e.Prev != change.Prev {
			v.Wrong++
		}
		seen[e.Rev], highest = true, max(highest, e.Rev)
		if found && change.At >= since {
			v.Stall = max(v.Stall, time.Duration(e.At-change.At))
		}
	}
	for _, change := range h {
		switch {
		case !wanted(w, change) || change.Rev > last || seen[change.Rev]:
		case inGap(w.Gaps, change.Rev):
			v.Skipped++
		default:
			v.Lost++
		}
	}
	return v
}

// wanted reports whether a watch is to deliver a change.
func wanted(w record.Watch, c Change) bool {
	inRange := c.Key == w.Key
	if w.End != "" {
		inRange = c.Key >= w.Key && c.Key < w.End
	}
	return inRange && c.Rev >= w.From && !(c.Delete && w.NoDelete) && (c.Delete || !w.NoPut)
}

func inGap(gaps []record.Gap, rev int64) bool {
	for _, g := range gaps {
		if g.After < rev && rev < g.Until {
			return true
		}
	}
	return false
}

// Watches sums the verdicts on all watches of a run.
func Watches(r Run) Watched {
	var sum Watched
	for _, w := range r.Record.Watches {
		v := Watch(r.History, w, r.Last, r.Phases.Fault)
		sum.Lost += v.Lost
		sum.Twice += v.Twice
		sum.Disordered += v.Disordered
		sum.Wrong += v.Wrong
		sum.Skipped += v.Skipped
		sum.Stall = max(sum.Stall, v.Stall)
	}
	return sum
}
