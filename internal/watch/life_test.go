package watch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
)

// known makes the client learn that the server answers progress requests. It uses a stream that it
// closes afterwards, and clears the record of what has happened.
func (w *world) known() {
	w.t.Helper()
	s := w.watch(metadata.AppendToOutgoingContext(w.t.Context(), "first", "stream"), 0)
	after(8 * time.Second)
	s.Cancel()
	after(linger)
	answers, _ := w.cfg.Progress.look("member")
	require.True(w.t, answers)
	w.forget()
}

// TestASilentStreamIsLeft: when a server has stopped answering, the watches move to another stream.
// They move at most checkPeriod plus minAnswerTimeout after the last response.
func TestASilentStreamIsLeft(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.known()
		s := w.watch(t.Context(), 0)
		after(8 * time.Second)
		assert.Len(t, w.seen().opened, 1, "it answers")
		w.event(11)
		synctest.Wait()
		silent := time.Since(w.start)
		w.locked(func() { w.silent = true })
		after(checkPeriod + minAnswerTimeout - ms)
		assert.Empty(t, w.seen().broken)
		after(ms)
		assert.Equal(t, []error{errSilent}, w.seen().broken)
		assert.Equal(t, 1, w.seen().probes, "requests may be waiting for that member too")
		w.locked(func() { w.silent = false })
		after(time.Second)
		assert.Len(t, w.seen().opened, 2)
		assert.Less(t, w.seen().opened[1]-silent, 4*time.Second)
		w.event(12)
		assert.Equal(t, []int64{11, 12}, s.received())
	})
}

// TestAnythingReceivedIsASignOfLife: a stream is not given up while it receives events, even if its
// server answers no progress request.
func TestAnythingReceivedIsASignOfLife(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.known()
		w.watch(t.Context(), 0)
		w.locked(func() { w.progress = false })
		asked := w.seen().questions()
		for rev := int64(11); rev < 200; rev++ {
			w.event(rev)
			after(300 * time.Millisecond)
		}
		assert.Len(t, w.seen().opened, 1)
		assert.LessOrEqual(t, w.seen().questions()-asked, 1)
	})
}

// TestAServerThatNeverAnsweredIsAskedOnceAndNotLeft: an etcd proxy never answers a progress
// request. The client does not ask it again, and keeps the stream.
func TestAServerThatNeverAnsweredIsAskedOnceAndNotLeft(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.locked(func() { w.progress = false })
		s := w.watch(t.Context(), 0)
		after(time.Minute)
		assert.Equal(t, 1, w.seen().questions())
		assert.Equal(t, 1, w.seen().probes, "its health is asked for instead")
		assert.Len(t, w.seen().opened, 1)

		w.watch(metadata.AppendToOutgoingContext(t.Context(), "a", "b"), 0)
		after(time.Minute)
		assert.Equal(t, 1, w.seen().questions())
		w.event(11)
		synctest.Wait()
		assert.Empty(t, s.ended())
	})
}

// TestAStreamThatEndsEarlyLeavesTheQuestionOpen: a stream that ends before its progress request is
// answered does not show that the server leaves such requests unanswered. The next stream asks
// again.
func TestAStreamThatEndsEarlyLeavesTheQuestionOpen(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.locked(func() { w.progress = false })
		w.watch(t.Context(), 0)
		after(firstPeriod + time.Second)
		assert.Equal(t, 1, w.seen().questions())
		w.end(errSilent)
		w.locked(func() { w.progress = true })
		after(5 * time.Second)
		assert.Greater(t, w.seen().questions(), 1)
		answers, _ := w.cfg.Progress.look("member")
		assert.True(t, answers)
	})
}

// TestAWatchThatCatchesUpHasMoreTime: etcd leaves requests for progress unanswered until the watch
// has caught up. Until then, the members are probed. After ten seconds of silence, the watch moves
// to another stream.
func TestAWatchThatCatchesUpHasMoreTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.known()
		w.locked(func() { w.progress = false })
		s := w.watch(t.Context(), 1) // the server is at revision 10
		confirmed := time.Since(w.start)
		after(maxAnswerTimeout - ms)
		assert.Len(t, w.seen().opened, 1)
		assert.Equal(t, 1, w.seen().questions())
		assert.GreaterOrEqual(t, w.seen().probes, 8)
		after(2 * time.Second)
		assert.Equal(t, []error{errSilent}, w.seen().broken)
		assert.Less(t, w.seen().opened[1]-confirmed, maxAnswerTimeout+firstPeriod+200*ms)
		assert.Empty(t, s.ended())
	})
}

// TestAWatchThatHasCaughtUpHasNone: the answer to a progress request shows that the watch has
// caught up. From then on its stream gets no more than the usual time to answer.
func TestAWatchThatHasCaughtUpHasNone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.known()
		w.locked(func() { w.progress = false })
		w.watch(t.Context(), 1)
		after(5 * time.Second)
		assert.Len(t, w.seen().opened, 1)
		w.locked(func() { w.progress = true })
		w.event(11)
		after(30 * time.Second) // quick answers shorten the answer timeout to its minimum
		assert.Greater(t, w.seen().questions(), 1)
		w.locked(func() { w.silent = true })
		after(checkPeriod + minAnswerTimeout)
		assert.Equal(t, []error{errSilent}, w.seen().broken)
	})
}

// TestASlowServerIsGivenTime: the answer timeout is four times what the last answer took.
func TestASlowServerIsGivenTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.known()
		w.watch(t.Context(), 0)
		after(8 * time.Second)
		w.locked(func() { w.progress = false })
		n := w.seen().questions()
		for w.seen().questions() == n {
			after(100 * ms)
		}
		after(400 * ms)
		w.locked(func() { w.progress = true })
		w.notice()
		synctest.Wait()
		w.locked(func() { w.silent = true })
		after(checkPeriod + 4*400*ms - ms)
		assert.Empty(t, w.seen().broken)
		after(4 * 200 * ms)
		assert.Equal(t, []error{errSilent}, w.seen().broken)
	})
}

// TestMembersAreProbedWhileCreatesAreUnanswered: while a create request is unanswered, the members
// are probed. The stream itself is not checked by a progress request before a watch is confirmed.
func TestMembersAreProbedWhileCreatesAreUnanswered(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.locked(func() { w.silent = true })
		w.watch(t.Context(), 0)
		after(5 * time.Second)
		assert.Equal(t, 2, w.seen().probes)
		assert.Zero(t, w.seen().questions())
		assert.Len(t, w.seen().opened, 1)
	})
}

func TestStreamsThatAreNotChecked(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.watch(t.Context(), 0)
		w.locked(func() { w.silent = true })
		after(time.Hour)
		assert.Len(t, w.seen().requests, 1)
		assert.Len(t, w.seen().opened, 1)
	}, func(cfg *Config) { cfg.Progress, cfg.ProbeMembers = nil, nil })
}
