package leasing

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// state is the state of an ownership. The package documentation has the transitions.
type state uint8

const (
	acquiring state = iota // the request for the lease key is under way
	owned                  // the lease key is this client's while the epoch lasts
	releasing              // the lease key is deleted, if it is this client's
)

// ownership is this client's ownership of one key. It begins with the request for the lease key. It
// ends when the lease key is certainly not this client's. A key has at most one ownership.
type ownership struct {
	// read-only after it was made
	key     string
	epoch   *epoch
	ctx     context.Context // ends with the epoch, and when the release starts
	stop    context.CancelFunc
	settled chan struct{} // closed at the end of the state acquiring
	ended   chan struct{} // closed when the ownership is removed from the cache

	// written before settled is closed, read-only afterwards
	read        *cachedKey // the key, as the request has read it; nil if it has not read it
	created     int64      // the create revision of the lease key; 0 if it is not this client's
	isUncertain bool       // the lease key may be this client's

	isAskedFor bool // another client wants the release; used by the ownership's goroutine only

	// guarded by cache.mu
	state  state
	cached *cachedKey // in the state owned: the key
	writes int        // in the state owned: this client's writes under way; cached may be stale
}

// usable returns the cached key if gets may be answered from it. The server has that key unchanged
// if the epoch is certain. usable returns nil if there is no such key, or if o is nil. The caller
// holds cache.mu.
func (o *ownership) usable() *cachedKey {
	if o == nil || o.state != owned || o.writes > 0 {
		return nil
	}
	return o.cached
}

// startRelease ends the watch of the lease key. The ownership's goroutine then deletes the lease
// key. An ownership in the state acquiring is released once it is settled. The caller holds
// cache.mu.
func (o *ownership) startRelease() {
	if o.state == owned {
		o.state = releasing
	}
	o.stop()
}

// change returns the channel that is closed when an ownership that is acquiring or releasing
// changes its state or ends. The caller holds cache.mu.
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
	// The lease certainly lives until certainUntil, and also until the deadline of keepAliveEnd.
	certainUntil time.Time
	keepAliveEnd *clientv3.KeepAliveEnd
	// isGiven says that the lease is older than the epoch. It may have lease keys already.
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

// createRevisionOf returns the create revision of a lease key if it is attached to the epoch's
// lease, and otherwise 0.
func (e *epoch) createRevisionOf(leaseKey *mvccpb.KeyValue) int64 {
	if leaseKey.GetLease() != int64(e.lease) {
		return 0
	}
	return leaseKey.GetCreateRevision()
}

const (
	// maxCooldown is the longest cooldown. The shortest is half of that.
	maxCooldown = time.Second
	// maxPause is the length of a pause, in which no key with a recent cooldown is acquired. A
	// pause begins when another client asks for one of these keys again. A cooldown counts as
	// recent until maxPause after its end.
	maxPause = 4 * time.Second
	// cleanUpEvery is the number of started cooldowns after which the old ones are removed.
	cleanUpEvery = 1024
)

// cooldowns holds the keys that must not be acquired again for a while, because another client has
// asked for them or owns them.
//
// A client that writes a range needs a moment in which no key of the range has an owner. If it
// takes longer than a cooldown to release all of them, readers acquire some of them again each
// time. So if another client asks for one of the keys again soon, a pause begins, in which no key
// with a recent cooldown is acquired.
type cooldowns struct {
	ends    map[string]time.Time // by key
	pause   time.Time            // its end
	started int
}

// start starts the cooldown of a key. isAskedFor says that this client has owned the key and that
// another client has asked for it.
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

// isRecent reports whether a cooldown that ends at end still lasts, or has ended less than maxPause
// ago.
func isRecent(end, now time.Time) bool { return now.Before(end.Add(maxPause)) }
