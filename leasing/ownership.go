package leasing

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// state is the state of an ownership; the package documentation has the transitions.
type state uint8

const (
	acquiring state = iota // the request for the lease key is under way
	owned                  // the lease key is this client's while the epoch lasts
	releasing              // the lease key is being deleted, if it is this client's
)

// ownership is this client's ownership of one key. It begins with the request for the lease key,
// and ends when the lease key is certainly not this client's. A key has at most one.
type ownership struct {
	// read-only after it was made
	key     string
	epoch   *epoch
	ctx     context.Context // ends with the epoch, and when the release starts
	stop    context.CancelFunc
	settled chan struct{} // closed when the ownership is no longer acquiring
	ended   chan struct{} // closed when the ownership is no longer in the cache

	// written before settled is closed, read-only afterwards
	read        *cachedKey // the key as the request has read it; nil if it has not
	created     int64      // the create revision of the lease key; 0 if it is not this client's
	isUncertain bool       // the lease key may be this client's

	isAskedFor bool // used by the ownership's goroutine only: another client wants the release

	// guarded by cache.mu
	state  state
	cached *cachedKey // owned: the key
	writes int        // owned: this client's writes under way; the cached key may be stale
}

// usable returns the cached key, which the server has unchanged if the epoch is certain. It returns
// nil if there is no such key. o may be nil. The caller holds cache.mu.
func (o *ownership) usable() *cachedKey {
	if o == nil || o.state != owned || o.writes > 0 {
		return nil
	}
	return o.cached
}

// startRelease ends the watch of the lease key, after which the ownership's goroutine deletes the
// lease key. An ownership that is acquiring is released once it is settled. The caller holds
// cache.mu.
func (o *ownership) startRelease() {
	if o.state == owned {
		o.state = releasing
	}
	o.stop()
}

// change returns the channel that is closed with the next change of an ownership that is acquiring
// or releasing. The caller holds cache.mu.
func (o *ownership) change() <-chan struct{} {
	if o.state == releasing {
		return o.ended
	}
	return o.settled
}

// epoch is the time during which one session's lease can have lease keys. It is read-only.
type epoch struct {
	lease clientv3.LeaseID
	ctx   context.Context // ends with the epoch
	// The lease certainly lives until certainUntil, or until keepAliveEnd's deadline if that is
	// later.
	certainUntil time.Time
	keepAliveEnd *clientv3.KeepAliveEnd
	// isGiven says that the lease is older than the epoch, so that it may have lease keys already.
	isGiven bool
}

// isCertain reports whether the lease certainly lives at this moment.
func (e *epoch) isCertain() bool {
	until := e.keepAliveEnd.Deadline()
	if until.Before(e.certainUntil) {
		until = e.certainUntil
	}
	return e.keepAliveEnd.Err() == nil && time.Now().Before(until)
}

// createRevisionOf returns the create revision of a lease key that is attached to the epoch's
// lease, and 0 for any other lease key.
func (e *epoch) createRevisionOf(leaseKey *mvccpb.KeyValue) int64 {
	if leaseKey.GetLease() != int64(e.lease) {
		return 0
	}
	return leaseKey.GetCreateRevision()
}

const (
	// maxCooldown is the longest cooldown. The shortest is half of that.
	maxCooldown = time.Second
	// maxPause is how long the keys with recent cooldowns are not acquired after one of them was
	// asked for again. It is also how long after its end a cooldown is recent.
	maxPause = 4 * time.Second
	// cleanUpEvery is the number of cooldowns started after which old ones are removed.
	cleanUpEvery = 1024
)

// cooldowns are the keys that must not be acquired again for a while, because another client has
// asked for them or owns them.
//
// A client that writes a range needs a moment in which the keys of the range have no owners. If it
// takes longer than a cooldown to release all of them, some are acquired again each time. So all
// keys with recent cooldowns wait if one of them is asked for again soon.
type cooldowns struct {
	ends    map[string]time.Time // by key
	pause   time.Time            // the end of the wait
	started int
}

// start starts the cooldown of a key. isAskedFor says that this client owned the key and another
// one has asked for it.
func (c *cooldowns) start(key string, isAskedFor bool) {
	now := time.Now()
	if c.started++; c.started%cleanUpEvery == 0 {
		maps.DeleteFunc(c.ends, func(_ string, end time.Time) bool { return !isRecent(end, now) })
	}
	if isAskedFor && isRecent(c.ends[key], now) {
		c.pause = now.Add(maxPause)
	}
	c.ends[key] = now.Add(maxCooldown/2 + rand.N(maxCooldown/2))
}

func (c *cooldowns) isActive(key string) bool {
	now, end := time.Now(), c.ends[key]
	return now.Before(end) || now.Before(c.pause) && isRecent(end, now)
}

// isRecent reports whether a cooldown with this end goes on, or ended a short while ago.
func isRecent(end, now time.Time) bool { return now.Before(end.Add(maxPause)) }
