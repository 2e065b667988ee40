// Package question lets many readers share linearizable reads. A question is one linearizable read;
// the package decides which reader shares which question.
//
// A reader needs a question that is sent after a given time, usually the time of its call. At most
// one question is under way at a time. If it was sent too early for a reader, the reader shares the
// next question. The next question is sent when the question under way has been answered or has
// failed.
//
// So a reader waits for at most two questions. Many readers together cause no more questions than
// one reader that asks again as soon as it has an answer.
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

// Join returns the question (a linearizable read) that a reader shares. The reader's cache is
// party. The read must be sent later than the given time.
//
// The reader shares the question under way if it was sent late enough and has the cache among its
// Parties. Otherwise the reader shares the next question. A cache cannot join a question that was
// sent, because it has to record its state before the question is sent.
//
// If there is no next question, Join makes one, and calls the function answer for its field Answer.
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

// Send makes the next question the one that is under way, and returns it. Call it right before
// sending this question, which is a linearizable read that readers share. Send records the given
// time as the time of sending.
//
// It returns nil if there is no next question, or if another question is still under way.
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
