package leasing

import (
	"math/rand/v2"
	"time"
)

const (
	// maxCooldown is how long a key is left to other clients at most after its ownership has
	// ended; at least it is half of that.
	maxCooldown = time.Second
	// minCleanUp is how many cooldowns there are before any is removed.
	minCleanUp = 1024
)

// cooldowns are the keys that must not be acquired again for a while, because another client has
// asked for them or owns them.
type cooldowns struct {
	ends map[string]time.Time // by key
	// the number of cooldowns at which those that are over are removed
	cleanUpAt int
}

func newCooldowns() cooldowns {
	return cooldowns{ends: map[string]time.Time{}, cleanUpAt: minCleanUp}
}

// start starts the cooldown of a key.
func (c *cooldowns) start(key string) {
	now := time.Now()
	if len(c.ends) >= c.cleanUpAt {
		for k, end := range c.ends {
			if end.Before(now) {
				delete(c.ends, k)
			}
		}
		c.cleanUpAt = max(minCleanUp, 2*len(c.ends))
	}
	c.ends[key] = now.Add(maxCooldown/2 + rand.N(maxCooldown/2))
}

// isActive reports whether a key must not be acquired now.
func (c *cooldowns) isActive(key string) bool {
	end, ok := c.ends[key]
	if ok && !time.Now().Before(end) {
		delete(c.ends, key)
		return false
	}
	return ok
}
