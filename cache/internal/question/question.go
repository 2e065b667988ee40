// Package question lets many readers share linearizable reads. A question is one linearizable read;
// the package decides which reader shares which question.
//
// A reader needs a read that is sent after a given time, usually the time of its call. So it can
// use the answer to every question that is sent after that time. At most one question is under way
// at a time. If it was sent too early for a reader, the reader shares the next question, which is
// sent when the question under way has been answered or has failed. So a reader waits for at most
// two questions. Many readers together cause no more questions than one reader that always waits
// for an answer.
package question

import (
	"slices"
	"time"
)

// Question is one linearizable read that readers share. It must be guarded by the lock that guards
// the [Line] it belongs to.
type Question[P comparable, A any] struct {
	// SentAt is the time when the read was sent. It is zero if the read has not been sent yet.
	SentAt time.Time
	// Parties are the caches whose readers share the read. They do not change after it was sent.
	Parties []P
	// Readers is how many readers share the read.
	Readers int
	// Answer is what the readers use to wait for the result. The caller of Join chooses its type.
	Answer A
}

// Line has the question (a linearizable read that readers share) that is under way, and the next
// one. In the zero Line there are no questions. A Line must be guarded by a lock.
type Line[P comparable, A any] struct {
	underWay, next *Question[P, A]
}

// Join returns the question (a shared linearizable read) that a reader shares. The parameter party
// is the reader's cache, and the parameter after is the moment after which the read must be sent.
// The reader shares the question under way if that question was sent after this moment and has the
// cache among its Parties. Otherwise the reader shares the next question. A cache cannot become a
// party of a question that has been sent, because a cache has to record its state before the
// question is sent.
//
// If there is no next question yet, Join makes one, and calls the parameter answer to get the value
// of its field Answer.
func (l *Line[P, A]) Join(party P, after time.Time, answer func() A) *Question[P, A] {
	q := l.underWay
	if q == nil || !q.SentAt.After(after) || !slices.Contains(q.Parties, party) {
		if l.next == nil {
			l.next = &Question[P, A]{Answer: answer()}
		}
		q = l.next
		if !slices.Contains(q.Parties, party) {
			q.Parties = append(q.Parties, party)
		}
	}
	q.Readers++
	return q
}

// Send is called when the next question, a linearizable read that readers share, is about to be
// sent. It makes the next question the one that is under way, records the given time as the time of
// sending, and returns the question. It returns nil if there is no next question, or if another
// question is still under way.
func (l *Line[P, A]) Send(now time.Time) *Question[P, A] {
	if l.underWay != nil || l.next == nil {
		return nil
	}
	l.underWay, l.next = l.next, nil
	l.underWay.SentAt = now
	return l.underWay
}

// Over ends the question (a shared linearizable read) that is under way. The caller calls Over when
// that read was answered or has failed.
func (l *Line[P, A]) Over() { l.underWay = nil }
