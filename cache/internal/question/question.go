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

// Question is a read that readers share. What guards its Line guards it.
type Question[P comparable, A any] struct {
	// SentAt is when it was sent; zero as long as it waits to be.
	SentAt time.Time
	// Parties are those in whose name readers have joined. They do not change once it is sent.
	Parties []P
	// Readers is how many readers have joined.
	Readers int
	// Answer is what the readers wait on.
	Answer A
}

// Line is the question under way and the next one. The zero Line has neither. It needs a guard.
type Line[P comparable, A any] struct {
	underWay, next *Question[P, A]
}

// Join returns the question for a reader that accepts one sent after a moment. Of two events at one
// moment it is not known which came first, so one sent at that moment may be too early. It shares
// the one under way only if its party was in it when it was sent, because a party notes what it
// knows before a question is sent. For a question without readers, Join calls answer.
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

// Send takes the next question under way, as sent at now, and returns it. It returns nil if there
// is no next one, or one is under way.
func (l *Line[P, A]) Send(now time.Time) *Question[P, A] {
	if l.underWay != nil || l.next == nil {
		return nil
	}
	l.underWay, l.next = l.next, nil
	l.underWay.SentAt = now
	return l.underWay
}

// Over ends the question under way, after it was answered or has failed.
func (l *Line[P, A]) Over() { l.underWay = nil }
