package cache

import (
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

// confirmedView is a view with the key "a" of revision 2. A proof has moved it from revision 3 on
// to 9.
func confirmedView() *view {
	t := &tree{}
	t.Set("a", putEvent("a", 2).Kv)
	return &view{tree: t, revision: 9, confirmed: 9}
}

func successorOf(v *view, listed int64, late *entry, events ...*mvccpb.Event) *successor {
	n := &successor{view: v, listed: listed, tree: v.tree, revision: v.revision, entry: &entry{},
		late: late}
	for _, ev := range events {
		n.add(ev)
	}
	return n
}

// TestEventsBehindAProofReachTheLog shows that keys that came and went while a proof moved the copy
// on are in the log for watches, as soon as all of them are gone again, and never in the tree.
func TestEventsBehindAProofReachTheLog(t *testing.T) {
	v := confirmedView()
	first := successorOf(v, 2, nil, putEvent("b", 4), putEvent("c", 5), deleteEvent("b", 6))
	require.False(t, first.wrong)
	require.Nil(t, first.complete, "c is still there")
	require.Equal(t, 1, first.tree.Len())

	second := successorOf(v, 2, first.late, deleteEvent("c", 8), putEvent("d", 10))
	require.False(t, second.wrong)
	require.Nil(t, second.late)
	require.Equal(t, []int64{4, 5, 6, 8}, revisions(second.complete))
	require.Equal(t, "b", string(second.complete.changes[2].Old.Key))
	require.Equal(t, []int64{10}, revisions(second.entry))
	require.Equal(t, 2, second.tree.Len())
}

func revisions(e *entry) (all []int64) {
	for _, ch := range e.changes {
		all = append(all, ch.revision)
	}
	return all
}

// TestEventsThatWereThere shows which events of a passed revision change nothing, and which show
// that the copy misses one.
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
		require.Equal(t, 1, n.tree.Len(), tc.what)
	}
}
