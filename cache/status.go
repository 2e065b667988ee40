package cache

import "time"

// Status is the state of a cache, for monitoring.
type Status struct {
	// Revision and ProvenAt are those of the newest Snapshot. Revision is 0 before the range has
	// been read.
	Revision int64
	ProvenAt time.Time
	// Known is the greatest revision that the server's answers have shown to exist. Lag is how long
	// the newest snapshot has had a lower revision than Known; 0 if it has not.
	Known int64
	Lag   time.Duration
	// Keys is the number of keys in the newest snapshot. Bytes is the total length of these keys
	// and their values.
	Keys  int
	Bytes int64
	// Waiting says in words what the cache is waiting for while the range is being read, or while
	// its watch is interrupted. It is empty if the cache is following its watch.
	Waiting string
	// OldestRevision is the revision from which on the history has every change of the range.
	OldestRevision int64
	// Questions counts the linearizable reads that were sent to prove freshness. Shared counts the
	// readers that were answered by these reads.
	Questions, Shared int64
	// Lists counts how often the whole range was read.
	Lists int64
	// Audits counts how often the number of keys was compared with the number on the server.
	// Differences counts how often an audit or a transaction of Update has found the copy to be
	// wrong. After each difference, the whole range was read again.
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
