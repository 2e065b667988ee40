package cache

import (
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// repeatAfter is how long the cache waits for the server to answer a request for watch progress
// before it sends another. The server does not answer at all while it still has old events to send
// for the watch.
const repeatAfter = 500 * time.Millisecond

// tooLow is the wait before the next request for progress when the member is behind: it has
// answered at a lower revision than the cache needs. After the first few such answers, the next
// request is sent at once: see atOnce.
var tooLow = backoff.Policy{Base: time.Millisecond, Max: 250 * time.Millisecond}

// proveAgain is the wait after a failed call of Cache.prove, before the next request for progress.
var proveAgain = backoff.Policy{Base: 100 * time.Millisecond, Jitter: 0.5}

// atOnce is how many requests for progress are sent one after another without a wait, as long as
// the answers have a lower revision than the cache needs.
const atOnce = 3

// unknownAttempts is how many requests for progress are sent at most in order to reach a revision
// that may not exist.
const unknownAttempts = 20

// advance makes the askForProgress goroutine send one request for progress, even if there is no
// revision that a view has to reach. It does not block.
func (c *Cache) advance() {
	c.mu.Lock()
	c.once = true
	c.mu.Unlock()
	c.wake()
}

// reach makes the askForProgress goroutine send requests for progress until a view has reached rev.
// It does not block. The first request is sent at once, and another one after each answer with a
// lower revision. If rev is not known to exist, and no call waits for it (see waitFor), the
// requests end after unknownAttempts.
func (c *Cache) reach(rev int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rev > c.target {
		c.target = rev
		c.wake()
	}
}

// waitFor adds n to the number of calls that wait for a revision that may not exist yet. While this
// number is above 0, the number of requests for progress is not limited.
func (c *Cache) waitFor(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters += n
}

// learn records that the revision rev exists, because an answer of the server has shown it.
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

// noticed records that a notice of progress has arrived, from a server whose notices come only
// after all events up to the notice's revision.
func (c *Cache) noticed() {
	c.mu.Lock()
	c.silence = silence{answered: true}
	c.mu.Unlock()
	signal(c.answered)
}

// noticesProve reports whether the server answers requests for progress with notices that come only
// after all events up to the notice's revision.
func (c *Cache) noticesProve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silence.answered
}

// wake makes the askForProgress goroutine check whether a request for progress has to be sent.
func (c *Cache) wake() { signal(c.ask) }

// signal sends to a channel with a buffer of one, or does nothing if the buffer is full.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// askForProgress sends the requests for progress until the cache ends. It runs on a goroutine of
// its own.
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

// askUntilReached sends requests for progress as long as toAsk returns true: usually until a view
// has reached c.target. It returns false if the cache has ended.
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

// toAsk reports whether to send another request for progress. attempt is how many requests this
// call of askUntilReached has sent so far.
func (c *Cache) toAsk(attempt int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	once := c.once
	c.once = false
	v := c.now()
	if attempt >= unknownAttempts && c.waiters == 0 {
		c.target = min(c.target, c.known) // go on only for revisions that are known to exist
	}
	if v.err == nil && c.belowLocked(v) {
		return true
	}
	c.target = 0
	return once
}

// behind reports whether requests for progress are still needed because a revision has not been
// reached: see belowLocked.
func (c *Cache) behind() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.belowLocked(c.now())
}

// belowLocked reports whether requests for progress are needed. They are if the view v has not
// reached the target, or if a list (read of the whole range) waits for the watch to reach
// listTarget. A list needs them whatever the revision of v: after a restore of the cluster, v may
// have a later revision than the list.
func (c *Cache) belowLocked(v *view) bool { return c.listTarget > 0 || v.revision < c.target }

// askOnce sends a request for progress and waits for the answer, for at most repeatAfter. A call of
// wake ends the wait early.
//
// A server is silent if it has left an earlier request unanswered for repeatAfter. It gets fewer
// requests: many calls of askOnce send none. If a view has to reach a later revision, askOnce does
// not wait for a silent server. Instead it calls prove, which raises the revision of the view by a
// read.
//
// If answered is true, an answer has come or prove has succeeded. If alive is false, the cache has
// ended.
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
		_ = c.client.RequestProgress(c.watchCtx) // after an error, the next attempt asks again
	}
	if prove {
		err := c.prove(questionTimeout.Delay(c.stall.slow))
		if c.proved(err); err != nil {
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

// waitAfterLow waits before the next request for progress, after answers with a revision that was
// too low. The number of such answers in a row is in low. After the first few of them there is no
// wait. A call of wake ends the wait early. waitAfterLow returns false if the cache has ended.
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
