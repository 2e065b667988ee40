package cache

import "time"

// Status is what a cache knows of itself.
type Status struct {
	Revision int64     // of the newest snapshot; 0 before the range was read
	ProvenAt time.Time // of the newest snapshot
	Known    int64     // the greatest revision that any answer has shown to exist
	Keys     int
	Bytes    int64  // of keys and values
	Waiting  string // what the copy waits for to be complete, or to follow again; else empty

	OldestRevision int64 // the history has all changes from this revision on

	Questions, Shared   int64 // asked to prove freshness; readers that were answered by such a question
	Lists               int64 // how often the range was read
	Audits, Differences int64 // audits made; those that found a difference

	Err error // why the cache has ended; nil while it lives
}

// Status returns the state of the cache. It sends no request.
func (c *Cache) Status() Status {
	v := c.now()
	s := Status{
		Revision: v.revision, ProvenAt: v.provenAt, Keys: v.tree.Len(), Bytes: v.bytes,
		Questions: c.counts.questions.Load(), Shared: c.counts.shared.Load(),
		Lists:  c.counts.lists.Load(),
		Audits: c.counts.audits.Load(), Differences: c.counts.differences.Load(),
		Err: v.err,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Known, s.Waiting = c.known, c.phase
	return s
}
