package leasing

// block keeps keys from being acquired whose lease keys are in the ranges, until unblock is called.
// Otherwise readers could acquire keys in a range all the time, and a write of the range might
// never find it without owners.
func (c *cache) block(ranges []keyRange) (unblock func()) {
	if len(ranges) == 0 {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked[&ranges] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.blocked, &ranges)
	}
}

// beginWrite returns the ownerships of the keys that are about to be written, and marks them so
// that they answer nothing until endWrite. If ownerships have to change first, it returns channels
// to wait for instead: for each of the keys whose ownership is acquiring or releasing, and for each
// ownership in the ranges, whose release it starts.
func (c *cache) beginWrite(w writes) (own []*ownership, changes []<-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes = c.releaseRangesLocked(w.ranges)
	for _, key := range w.keys {
		o := c.ownerships[key]
		switch {
		case o == nil:
		case o.state != owned:
			changes = append(changes, o.change())
		default:
			own = append(own, o)
		}
	}
	if len(changes) > 0 {
		return nil, changes
	}
	for _, o := range own {
		o.writes++
	}
	return own, nil
}

// releaseRangesLocked starts the release of all ownerships whose lease keys are in the ranges, and
// returns their changes.
func (c *cache) releaseRangesLocked(ranges []keyRange) (changes []<-chan struct{}) {
	if len(ranges) == 0 {
		return nil
	}
	for key, o := range c.ownerships {
		if contain(ranges, c.leaseKeys.of(key)) {
			o.startRelease()
			changes = append(changes, o.change())
		}
	}
	return changes
}

// endWrite undoes what beginWrite marked. now has the key of each ownership after the write; where
// it is nil the key is unknown, and the release of the ownership starts. If now itself is nil,
// nothing was written.
func (c *cache) endWrite(own []*ownership, now []*cachedKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, o := range own {
		o.writes--
		switch {
		case now == nil || o.state != owned:
		case now[i] == nil:
			o.startRelease()
		case now[i].rev > o.cached.rev: // answers can overtake each other
			o.cached = now[i]
		}
	}
}
