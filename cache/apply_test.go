package cache

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

func putEvent(key string, revision int64) *mvccpb.Event {
	return &mvccpb.Event{Kv: &pair{Key: []byte(key), ModRevision: revision}}
}

func deleteEvent(key string, revision int64) *mvccpb.Event {
	ev := putEvent(key, revision)
	ev.Type = mvccpb.Event_DELETE
	return ev
}

// confirmedView returns a view (a state of a cache) with the key "a" of revision 2. A read has
// proven that at revision 9 the range has no other keys. The events up to revision 9 have not
// arrived yet.
func confirmedView() *view {
	return &view{tree: tree{}.Set(putEvent("a", 2).Kv), revision: 9, confirmed: 9}
}

func successorOf(v *view, listed int64, late *lateChanges, events ...*mvccpb.Event) *successor {
	n := &successor{view: v, listed: listed, tree: v.tree.Edit(), revision: v.revision,
		entry: &entry{}, late: late}
	for _, ev := range events {
		n.add(ev)
	}
	return n
}

// TestEventsBehindAProofReachTheLog delivers events late: a read has already proven that a copy is
// current at a later revision. Such events come from keys that were created and deleted in between.
// When the last of their deletions arrives, all late events are added to the log, from which
// watches read. They never change the tree.
func TestEventsBehindAProofReachTheLog(t *testing.T) {
	v := confirmedView()
	first := successorOf(v, 2, nil, putEvent("b", 4), putEvent("c", 5), deleteEvent("b", 6))
	require.False(t, first.wrong)
	require.Nil(t, first.complete, "c is still there")
	require.Equal(t, 1, first.tree.Tree().Len())

	second := successorOf(v, 2, first.late, deleteEvent("c", 8), putEvent("d", 10))
	require.False(t, second.wrong)
	require.Nil(t, second.late)
	require.Equal(t, []int64{4, 5, 6, 8}, revisions(second.complete))
	require.Equal(t, "b", string(second.complete.changes[2].Old.Key))
	require.Equal(t, []int64{10}, revisions(second.entry))
	require.Equal(t, 2, second.tree.Tree().Len())
}

// TestLateEventsCostTheSameHoweverManyThereAre shows that twice as many late events allocate less
// than three times as much memory. An event is late if the copy has already reached a higher
// revision when it arrives.
func TestLateEventsCostTheSameHoweverManyThereAre(t *testing.T) {
	allocated := func(keys int) float64 {
		v := confirmedView()
		v.confirmed = 1 << 40
		v.revision = v.confirmed
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var kept *lateChanges
		var complete *entry
		for i := 0; i < 2*keys; i += 10 {
			events := make([]*mvccpb.Event, 10)
			for j := range events {
				revision := int64(10 + i + j)
				if i < keys {
					events[j] = putEvent(fmt.Sprintf("k%06d", i+j), revision)
				} else {
					events[j] = deleteEvent(fmt.Sprintf("k%06d", i+j-keys), revision)
				}
			}
			n := successorOf(v, 2, kept, events...)
			kept, complete = n.late, n.complete
		}
		runtime.ReadMemStats(&after)
		require.Nil(t, kept)
		require.Len(t, complete.changes, 2*keys)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	require.Less(t, allocated(4000)/allocated(2000), 3.0)
}

// TestLateEventsAreTakenAgain shows that a successor (the next state of a copy) does not change the
// late events that it was given. If it is not published, another successor can use them.
func TestLateEventsAreTakenAgain(t *testing.T) {
	v := confirmedView()
	kept := successorOf(v, 2, nil, putEvent("b", 4), putEvent("c", 5), deleteEvent("b", 6)).late
	for range 2 {
		require.NotNil(t, successorOf(v, 2, kept, deleteEvent("c", 7), putEvent("c", 8)).late)
		again := successorOf(v, 2, kept, deleteEvent("c", 8))
		require.Nil(t, again.late)
		require.Equal(t, []int64{4, 5, 6, 8}, revisions(again.complete))
	}
}

func revisions(e *entry) (all []int64) {
	for _, ch := range e.changes {
		all = append(all, ch.revision)
	}
	return all
}

// TestEventsThatWereThere shows which events change nothing if the copy has already passed their
// revision, and which ones show that the copy is wrong.
func TestEventsThatWereThere(t *testing.T) {
	trusted := confirmedView()
	trusted.confirmed = 0
	for _, tc := range []struct {
		what  string
		view  *view
		event *mvccpb.Event
		wrong bool
	}{
		{"before the list", trusted, putEvent("b", 1), false},
		{"delivered before", trusted, putEvent("a", 2), false},
		{"a deletion that a later put has followed", trusted, deleteEvent("a", 2), false},
		{"a deletion delivered before", confirmedView(), deleteEvent("b", 4), false},
		{"a new key, and no proof", trusted, putEvent("b", 4), true},
		{"a change of a key that a proof has shown unchanged", confirmedView(),
			putEvent("a", 4), true},
		{"a deletion that is missing", trusted, deleteEvent("a", 4), true},
	} {
		n := successorOf(tc.view, 1, nil, tc.event)
		require.Equal(t, tc.wrong, n.wrong, tc.what)
		require.Nil(t, n.complete, tc.what)
		require.Empty(t, n.entry.changes, tc.what)
		require.Equal(t, 1, n.tree.Tree().Len(), tc.what)
	}
}
