// Package question decides which readers share which question.
//
// A question is one linearizable read that is sent at some time. Its answer is good for each reader
// that accepts a read sent at that time. At most one question is under way. A reader that the one
// under way was sent too early for shares the next one, which is sent when the one under way has
// been answered or has failed. So a reader waits for two questions at most, and any number of
// readers cause no more questions than one reader that asks without a break.
package question

import (
	"slices"
	"time"
)

// Question is a read that readers share. The lock that guards its Line guards it, too.
type Question[P comparable, A any] struct {
	// SentAt is when the read was sent. It is zero while the question waits to be sent.
	SentAt time.Time
	// Parties are the caches that readers of the question belong to. They do not change once it has
	// been sent.
	Parties []P
	// Readers is how many readers have joined.
	Readers int
	// Answer is what the readers wait on.
	Answer A
}

// Line has the question under way and the next one. The zero Line has neither. It must be guarded
// by a lock.
type Line[P comparable, A any] struct {
	underWay, next *Question[P, A]
}

// Join returns the question that a reader of a party shares. The reader accepts a read that was
// sent after a moment; one sent at that very moment may be too early. The reader shares the
// question under way only if its party took part when it was sent, because a party notes what it
// knows before a question is sent. Otherwise the reader shares the next question. If there is none
// yet, Join makes it, with a new Answer from answer.
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

// Send makes the next question the one under way, sent at now, and returns it. It returns nil if
// there is no next question, or if one is under way.
func (l *Line[P, A]) Send(now time.Time) *Question[P, A] {
	if l.underWay != nil || l.next == nil {
		return nil
	}
	l.underWay, l.next = l.next, nil
	l.underWay.SentAt = now
	return l.underWay
}

// Over records that the question under way was answered or has failed.
func (l *Line[P, A]) Over() { l.underWay = nil }
