package cache

import "time"

// Status is the state of a cache, for monitoring.
type Status struct {
	// Revision and ProvenAt are those of the newest snapshot. Revision is 0 before the range has
	// been read.
	Revision int64
	ProvenAt time.Time
	// Known is the greatest revision that any answer has shown to exist. Lag is for how long the
	// newest snapshot has been below it; 0 if it is not.
	Known int64
	Lag   time.Duration
	// Keys is the number of keys, and Bytes what they and their values take.
	Keys  int
	Bytes int64
	// Waiting says what the copy waits for to be complete, or to go on following. It is empty if
	// the copy follows.
	Waiting string
	// OldestRevision is the revision from which on the history has every change.
	OldestRevision int64
	// Questions counts the linearizable reads that were sent to prove freshness, and Shared the
	// readers that they have answered.
	Questions, Shared int64
	// Lists counts how often the range was read.
	Lists int64
	// Audits counts the comparisons with the number of keys on the server, and Differences those
	// that failed, after each of which the range was read anew.
	Audits, Differences int64
	// Err is why the cache has ended; nil while it lives.
	Err error
}

// Status returns the state of the cache. It sends no request.
func (c *Cache) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.now()
	s := Status{
		Revision: v.revision, ProvenAt: v.provenAt, Known: c.known,
		Keys: v.tree.Len(), Bytes: v.bytes, Waiting: c.phase,
		OldestRevision: c.history.oldestRevision(),
		Questions:      c.counts.questions.Load(), Shared: c.counts.shared.Load(),
		Lists:  c.counts.lists.Load(),
		Audits: c.counts.audits.Load(), Differences: c.counts.differences.Load(),
		Err: v.err,
	}
	if v.revision < c.known {
		s.Lag = time.Since(c.behindSince)
	}
	return s
}
