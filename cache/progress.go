package cache

import (
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// repeatAfter is how long an answer to a request for progress is waited for. A server does not
// answer while the watch is catching up.
const repeatAfter = 500 * time.Millisecond

// tooLow is the wait after an answer that was too low, from a member that is behind. The first
// requests follow at once.
var tooLow = backoff.Policy{Base: time.Millisecond, Max: 250 * time.Millisecond}

// atOnce is how many requests for progress follow one another without a wait.
const atOnce = 3

// unknownAttempts is how often progress is asked for to reach a revision that is not known to
// exist.
const unknownAttempts = 20

// advance asks the server for progress once. It does not block.
func (c *Cache) advance() {
	c.mu.Lock()
	c.once = true
	c.mu.Unlock()
	c.wake()
}

// reach asks for progress until a view has the revision rev: at once, and again whenever the answer
// is too low. If no answer has shown yet that rev exists, it gives up after some requests, unless a
// call waits: see waitFor. It does not block.
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

// noticed says that a notice of progress has arrived.
func (c *Cache) noticed() {
	c.mu.Lock()
	c.silence = silence{}
	c.mu.Unlock()
	signal(c.answered)
}

// wake has the asker look at what there is to ask for.
func (c *Cache) wake() { signal(c.ask) }

// signal sends to a channel that has room for one, unless it is full.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// askForProgress is the asker: it sends the requests for progress as long as the cache lives.
func (c *Cache) askForProgress() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.ask:
		}
		for attempt := 0; c.toAsk(attempt); attempt++ {
			if !c.askOnce(attempt) {
				return
			}
		}
	}
}

// askOnce asks for progress and waits for the answer. If the server is silent, it asks less often,
// and proves otherwise what a notice of progress would. It returns false if the cache has ended.
func (c *Cache) askOnce(attempt int) bool {
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
		if c.prove() == nil {
			return true
		}
		return backoff.Wait(c.ctx, tooLow.Delay(attempt)) == nil
	}
	return c.awaitAnswer(attempt)
}

// toAsk reports whether to ask once more, after the given number of requests.
func (c *Cache) toAsk(attempt int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	once := c.once
	c.once = false
	v := c.now()
	target := max(c.target, c.listTarget)
	certain := target <= c.known || c.waiters > 0
	if v.err == nil && v.revision < target && (certain || attempt < unknownAttempts) {
		return true
	}
	c.target = 0
	return once
}

// awaitAnswer waits for the answer to a request for progress, and then for as long as the number
// of requests demands. It returns false if the cache has ended.
func (c *Cache) awaitAnswer(attempt int) bool {
	timer := time.NewTimer(repeatAfter)
	defer timer.Stop()
	select {
	case <-c.ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-c.ask:
		return true
	case <-c.answered:
	}
	if attempt < atOnce {
		return true
	}
	return backoff.Wait(c.ctx, tooLow.Delay(attempt-atOnce)) == nil
}
