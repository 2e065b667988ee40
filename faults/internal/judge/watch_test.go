package judge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// history has a put, a put, a delete and a put of one key, and a put of another one.
var history = History{
	{Rev: 2, Key: "a/1", At: 100},
	{Rev: 3, Key: "a/1", Prev: 2, At: 200},
	{Rev: 4, Key: "a/1", Prev: 3, Delete: true, At: 300},
	{Rev: 5, Key: "a/1", At: 400},
	{Rev: 6, Key: "b", At: 500},
}

// delivered returns the events of revisions, each ten nanoseconds after its change.
func delivered(revs ...int64) (events []record.Event) {
	for _, rev := range revs {
		c, found := history.at(rev)
		if !found {
			c.Rev, c.Key = rev, "a/1"
		}
		events = append(events, record.Event{Rev: rev, Key: c.Key, Delete: c.Delete,
			Prev: c.Prev, At: c.At + 10})
	}
	return events
}

func TestWatchFindsWhatIsWrong(t *testing.T) {
	all := record.Watch{Key: "a/", End: "a0", From: 2}
	with := func(change func(*record.Watch)) record.Watch {
		w := all
		change(&w)
		return w
	}
	const stall = 10 * time.Nanosecond
	for name, tc := range map[string]struct {
		watch record.Watch
		want  Watched
	}{
		"all": {with(func(w *record.Watch) { w.Events = delivered(2, 3, 4, 5) }),
			Watched{Stall: stall}},
		"lost": {with(func(w *record.Watch) { w.Events = delivered(2, 4, 5) }),
			Watched{Lost: 1, Stall: stall}},
		"nothing came": {all, Watched{Lost: 4}},
		"twice": {with(func(w *record.Watch) { w.Events = delivered(2, 3, 3, 4, 5) }),
			Watched{Twice: 1, Stall: stall}},
		"out of order": {with(func(w *record.Watch) { w.Events = delivered(2, 4, 3, 5) }),
			Watched{Disordered: 1, Stall: stall}},
		"after a notice": {with(func(w *record.Watch) {
			w.Events = delivered(2, 3, 4, 5)
			w.Notices = []record.Notice{{After: 2, Rev: 4}}
		}), Watched{Disordered: 1, Stall: stall}},
		"before a notice": {with(func(w *record.Watch) {
			w.Events = delivered(2, 3, 4, 5)
			w.Notices = []record.Notice{{After: 3, Rev: 4}}
		}), Watched{Stall: stall}},
		"unknown revision": {with(func(w *record.Watch) { w.Events = delivered(2, 3, 4, 5, 9) }),
			Watched{Wrong: 1, Stall: stall}},
		"another key": {with(func(w *record.Watch) { w.Events = delivered(2, 3, 4, 5, 6) }),
			Watched{Wrong: 1, Stall: stall}},
		"wrong previous value": {with(func(w *record.Watch) {
			w.PrevKV, w.Events = true, delivered(2, 3, 4, 5)
			w.Events[1].Prev = 1
		}), Watched{Wrong: 1, Stall: stall}},
		"compacted": {with(func(w *record.Watch) {
			w.Events, w.Gaps = delivered(4, 5), []record.Gap{{After: 1, Until: 4}}
		}), Watched{Skipped: 2, Stall: stall}},
		"more than was compacted": {with(func(w *record.Watch) {
			w.Events, w.Gaps = delivered(5), []record.Gap{{After: 1, Until: 4}}
		}), Watched{Skipped: 2, Lost: 1, Stall: stall}},
		"only deletes": {with(func(w *record.Watch) { w.NoPut, w.Events = true, delivered(4) }),
			Watched{Stall: stall}},
		"a put among deletes": {with(func(w *record.Watch) {
			w.NoPut, w.Events = true, delivered(3, 4)
		}), Watched{Wrong: 1, Stall: stall}},
		"only puts": {with(func(w *record.Watch) {
			w.NoDelete, w.Events = true, delivered(2, 3, 5)
		}), Watched{Stall: stall}},
		"a single key": {record.Watch{Key: "b", From: 2, Events: delivered(6)},
			Watched{Stall: stall}},
		"from later on": {record.Watch{Key: "a/1", From: 4, Events: delivered(4, 5)},
			Watched{Stall: stall}},
	} {
		require.Equal(t, tc.want, Watch(history, tc.watch, 6, 0), name)
	}
}

func TestWatchNeedNotDeliverWhatComesAfterTheLastRevision(t *testing.T) {
	w := record.Watch{Key: "a/1", From: 2, Events: delivered(2, 3)}
	require.Zero(t, Watch(history, w, 3, 0).Lost)
}

func TestStallOfAWatchBeginsWithTheFault(t *testing.T) {
	w := record.Watch{Key: "a/1", From: 2, Events: delivered(2, 3, 4, 5)}
	w.Events[0].At += 1000
	w.Events[3].At += 20
	require.EqualValues(t, 30, Watch(history, w, 5, 150).Stall)
}
