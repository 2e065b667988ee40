package cache

import (
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// repeatAfter is how long an answer to a request for progress is waited for. A server does not
// answer while the watch is catching up.
const repeatAfter = 500 * time.Millisecond

// tooLow is the wait before the next request for progress, after an answer from a member that has
// not reached the revision. The first few requests follow each other without a wait.
var tooLow = backoff.Policy{Base: time.Millisecond, Max: 250 * time.Millisecond}

// proveAgain is the wait after a proof that failed.
var proveAgain = backoff.Policy{Base: 100 * time.Millisecond, Jitter: 0.5}

// atOnce is how many requests for progress follow one another without a wait.
const atOnce = 3

// unknownAttempts is how often progress is asked for in order to reach a revision that may not
// exist.
const unknownAttempts = 20

// advance asks the server for progress once. It does not block.
func (c *Cache) advance() {
	c.mu.Lock()
	c.once = true
	c.mu.Unlock()
	c.wake()
}

// reach has progress asked for until a view has reached the revision rev. It does not block. The
// first request goes out at once, and another after each answer that is too low. As long as no
// answer has shown that rev exists, and no call waits for it (see waitFor), it is given up after
// some requests.
func (c *Cache) reach(rev int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rev > c.target {
		c.target = rev
		c.wake()
	}
}

// waitFor counts the calls that wait for a revision of which it is not known whether it exists.
func (c *Cache) waitFor(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters += n
}

// learn records that a revision exists.
func (c *Cache) learn(rev int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learnLocked(rev)
}

func (c *Cache) learnLocked(rev int64) {
	if rev <= c.known {
		return
	}
	if c.now().revision >= c.known {
		c.behindSince = time.Now()
	}
	c.known = rev
}

// noticed records that a notice of progress that can be trusted has arrived.
func (c *Cache) noticed() {
	c.mu.Lock()
	c.silence = silence{answered: true}
	c.mu.Unlock()
	signal(c.answered)
}

// noticesProve reports whether the server has answered the newest requests for progress by notices
// that can be trusted.
func (c *Cache) noticesProve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silence.answered
}

// wake has askForProgress look whether there is something to ask for.
func (c *Cache) wake() { signal(c.ask) }

// signal sends to a channel that has room for one, unless it is full.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// askForProgress sends the requests for progress, as long as the cache lives.
func (c *Cache) askForProgress() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.ask:
		}
		if !c.askUntilReached() {
			return
		}
	}
}

// askUntilReached asks for progress as often as it takes. It returns false if the cache has ended.
func (c *Cache) askUntilReached() bool {
	for attempt, low := 0, 0; c.toAsk(attempt); attempt++ {
		answered, alive := c.askOnce()
		if answered && c.behind() {
			low++
		} else {
			low = 0
		}
		if !alive || low > 0 && !c.waitAfterLow(low) {
			return false
		}
	}
	return true
}

// toAsk reports whether to ask once more, after the given number of requests.
func (c *Cache) toAsk(attempt int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	once := c.once
	c.once = false
	v := c.now()
	if attempt >= unknownAttempts && c.waiters == 0 {
		c.target = min(c.target, c.known) // others may wait for what is known
	}
	if v.err == nil && c.belowLocked(v) {
		return true
	}
	c.target = 0
	return once
}

// behind reports whether what progress is asked for has not been reached.
func (c *Cache) behind() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.belowLocked(c.now())
}

// belowLocked reports whether progress is asked for beyond the view v. While a list waits for the
// watch, that does not depend on the view: after a restore, its revision may be the greater one.
func (c *Cache) belowLocked(v *view) bool { return c.listTarget > 0 || v.revision < c.target }

// askOnce asks for progress. It waits for the answer, but no longer than repeatAfter, or until
// there is something else to ask for. If the server has been silent, it asks less often, and calls
// prove instead. It reports whether an answer or a proof has come, and whether the cache lives.
func (c *Cache) askOnce() (answered, alive bool) {
	now := time.Now()
	c.mu.Lock()
	silent, ask := c.silence.silent(now), c.silence.mayAsk(now)
	if ask {
		c.silence.asked(now)
	}
	prove := silent && !c.list.wanted && c.now().revision < c.target
	c.mu.Unlock()
	if ask {
		_ = c.client.RequestProgress(c.watchCtx) // asked again
	}
	if prove {
		if err := c.prove(); err != nil {
			return false, backoff.Wait(c.ctx, proveAgain.Delay(0)) == nil
		}
		return true, true
	}
	timer := time.NewTimer(repeatAfter)
	defer timer.Stop()
	select {
	case <-c.ctx.Done():
		return false, false
	case <-c.answered:
		return true, true
	case <-c.ask:
	case <-timer.C:
	}
	return false, true
}

// waitAfterLow waits after a number of answers that were too low, one after another, or until there
// is more to ask for. The first are followed by another request at once. It returns false if the
// cache has ended.
func (c *Cache) waitAfterLow(low int) bool {
	if low < atOnce {
		return true
	}
	timer := time.NewTimer(tooLow.Delay(low - atOnce))
	defer timer.Stop()
	select {
	case <-c.ctx.Done():
		return false
	case <-c.ask:
	case <-timer.C:
	}
	return true
}
