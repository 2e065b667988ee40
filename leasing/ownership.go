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
	acquiring state = iota // the request that puts the lease key is under way
	owned                  // the lease key was put; it is this client's while the epoch lasts
	releasing              // the lease key is being deleted, if it is this client's
)

// ownership is the record of one key that this client acquires, owns and releases. It begins with
// the request that puts the lease key, by which other clients see that the key has an owner. It
// ends when the lease key certainly is not this client's any more. A key has at most one ownership
// at a time.
type ownership struct {
	// read-only after the ownership was made
	key     string
	epoch   *epoch
	ctx     context.Context // ends with the epoch, and when the release starts
	stop    context.CancelFunc
	settled chan struct{} // closed when the request that puts the lease key has ended
	ended   chan struct{} // closed when the ownership is removed from the cache

	// written before the channel settled is closed, read-only afterwards
	read        *cachedKey // the key, as the request that puts the lease key has read it, or nil
	created     int64      // create revision of the lease key if it is this client's; otherwise 0
	isUncertain bool       // the lease key may be this client's, or its put may still be applied

	// isAskedFor says that another client wants the key released. Only the ownership's goroutine
	// uses it.
	isAskedFor bool

	// guarded by cache.mu
	state state
	// cached is the key as the cache has it. It is set in the state "owned". While the field writes
	// is not 0, the key is being written, and the cache must not answer gets of the key.
	cached *cachedKey
	writes int // the number of this client's writes of the key that are under way
}

// usable returns the cached key if gets may be answered from it. The answer is right while the
// session's lease certainly lives, because the server then has the key unchanged. usable returns
// nil if the key is not owned or is being written, or if o is nil. The caller holds cache.mu.
func (o *ownership) usable() *cachedKey {
	if o == nil || o.state != owned || o.writes > 0 {
		return nil
	}
	return o.cached
}

// startRelease ends the watch of the lease key. The ownership's goroutine then deletes the lease
// key. If the request that puts the lease key is still under way, the release starts when that
// request has ended. The caller holds cache.mu.
func (o *ownership) startRelease() {
	if o.state == owned {
		o.state = releasing
	}
	o.stop()
}

// change returns a channel that is closed when the ownership leaves its state. This state must be
// "acquiring" or "releasing". The caller holds cache.mu.
func (o *ownership) change() <-chan struct{} {
	if o.state == releasing {
		return o.ended
	}
	return o.settled
}

// epoch is the time in which one session of the KV lives, and in which keys can be acquired with
// the session's lease. It is read-only.
type epoch struct {
	lease clientv3.LeaseID
	ctx   context.Context // ends with the epoch
	// If the lease is not revoked, it certainly lives until the later of two times: certainUntil
	// and the deadline of keepAliveEnd.
	certainUntil time.Time
	keepAliveEnd *clientv3.KeepAliveEnd
	// isGiven says that the lease was given by WithLease and is older than the epoch. So lease keys
	// may be attached to it already.
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
	// maxCooldown is the longest cooldown: a time in which a key is not acquired again. The
	// shortest cooldown is half as long.
	maxCooldown = time.Second
	// maxPause is the length of a pause. During a pause, no key with a recent cooldown is acquired.
	// A cooldown counts as recent until maxPause after its end. A pause begins when another client
	// asks for a key that this client owns and that had a recent cooldown.
	maxPause = 4 * time.Second
	// cleanUpEvery is how many cooldowns are started between two clean-ups of the map of cooldowns.
	// A clean-up removes the cooldowns that are no longer recent.
	cleanUpEvery = 1024
)

// cooldowns holds the keys that must not be acquired again for a while, because another client has
// asked for them or owns them.
//
// A client that writes a range needs a moment in which no key of the range has an owner. If the
// release of all keys takes longer than a cooldown, readers acquire the first keys again before the
// last are released. So if another client asks for a key again soon after the key's cooldown, a
// pause begins. In a pause no key with a recent cooldown is acquired.
type cooldowns struct {
	ends    map[string]time.Time // when the cooldown of a key ends, by key
	pause   time.Time            // the end of the latest pause
	started int                  // the number of cooldowns that were started
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

// isRecent reports whether a cooldown that ends at the time end still lasts, or has ended less than
// maxPause before now.
func isRecent(end, now time.Time) bool { return now.Before(end.Add(maxPause)) }
