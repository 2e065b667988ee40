package main

import (
	"slices"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// sabotage falsifies the record with the defect that the plan's field Broken names. A test checks
// that the judge finds the defect. For the defect "write" the record stays as it is: the method put
// really makes some writes twice.
func (l *load) sabotage() {
	switch l.plan.Broken {
	case "lost", "twice", "order":
		for i := range l.record.Watches {
			spoil(&l.record.Watches[i], l.plan.Broken)
		}
	case "history":
		for i := range l.record.Ops {
			if op := &l.record.Ops[i]; op.Kind == "get" && i > len(l.record.Ops)/2 {
				op.Seen = l.record.Ops[0].Value
			}
		}
	case "lease":
		for i := range l.record.Leases {
			l.record.Leases[i].Closed = int64(i % 2)
		}
	case "guard":
		for i := range l.record.Holds {
			l.record.Holds[i].End += int64(holdFor)
		}
	}
}

// spoil removes or repeats the event in the middle of what a watch has delivered, or swaps it with
// the event before.
func spoil(w *record.Watch, how string) {
	i := len(w.Events) / 2
	if i == 0 {
		return
	}
	switch how {
	case "lost":
		w.Events = slices.Delete(w.Events, i, i+1)
	case "twice":
		w.Events = slices.Insert(w.Events, i, w.Events[i])
	case "order":
		w.Events[i-1], w.Events[i] = w.Events[i], w.Events[i-1]
	}
}
