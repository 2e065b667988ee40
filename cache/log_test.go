package cache

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// span is an entry of one byte with the revisions from first to last.
func span(first, last int64) *entry { return &entry{first: first, last: last, size: 1} }

func gapAt(rev int64) *entry { return &entry{first: rev, last: rev, size: 1, gap: true} }

// revisionsAfter returns the last revision of each entry that follows e. The result behind is true
// if the history has dropped the last entry that could be read, so later entries may have been
// missed.
func revisionsAfter(e *entry) (revs []int64, behind bool) {
	for {
		next, behind := e.following()
		if next == nil {
			return revs, behind
		}
		revs = append(revs, next.last)
		e = next
	}
}

func TestHistoryFindsThePositionOfARevision(t *testing.T) {
	h := newHistory(100)
	require.Nil(t, h.before(1), "an empty log has no position")
	for _, e := range []*entry{gapAt(10), span(11, 11), span(13, 15), span(20, 20)} {
		h.append(e)
	}
	require.EqualValues(t, 11, h.oldestRevision())
	for rev, want := range map[int64][]int64{
		11: {11, 15, 20}, 12: {15, 20}, 13: {15, 20}, 15: {15, 20}, 16: {20}, 20: {20}, 21: nil,
	} {
		revs, behind := revisionsAfter(h.before(rev))
		require.Equal(t, want, revs, "after the position of %d", rev)
		require.False(t, behind)
	}
	require.Nil(t, h.before(10), "the revision of the list is not in the log")
}

func TestHistoryKeepsWhatTheLimitAllows(t *testing.T) {
	h := newHistory(2)
	first := gapAt(10)
	h.append(first)
	h.append(span(11, 12))
	h.append(span(13, 13))
	require.EqualValues(t, 11, h.oldestRevision(), "only the list was dropped")
	h.append(span(14, 14))
	require.EqualValues(t, 13, h.oldestRevision())

	require.Nil(t, h.before(12))
	position := h.before(13)
	revs, _ := revisionsAfter(position)
	require.Equal(t, []int64{13, 14}, revs, "from the oldest revision on")
	revs, behind := revisionsAfter(first)
	require.True(t, behind, "a reader at an entry that was dropped must know")
	require.Empty(t, revs, "a dropped entry holds no other entry")

	h.append(&entry{first: 15, last: 15, size: 50})
	require.EqualValues(t, 15, h.oldestRevision(), "the newest entry stays")
	revs, behind = revisionsAfter(position)
	require.True(t, behind)
	require.Equal(t, []int64{13}, revs)
}

func TestHistoryBeginsAnewAfterAGap(t *testing.T) {
	h := newHistory(5)
	h.append(gapAt(100))
	reader := span(101, 101)
	h.append(reader)
	h.append(gapAt(50)) // a backup was restored
	h.append(span(51, 51))
	require.EqualValues(t, 51, h.oldestRevision())
	require.Nil(t, h.before(50))
	revs, _ := revisionsAfter(h.before(51))
	require.Equal(t, []int64{51}, revs)
	revs, _ = revisionsAfter(h.before(101))
	require.Empty(t, revs, "a revision of before the restore is in the future again")
	revs, _ = revisionsAfter(reader)
	require.Equal(t, []int64{50, 51}, revs, "a reader comes to the gap")

	for rev := int64(52); rev < 60; rev++ {
		h.append(span(rev, rev))
	}
	require.EqualValues(t, 55, h.oldestRevision(), "the gap was dropped")
	require.Nil(t, h.before(54))
	require.NotNil(t, h.before(55))
}
