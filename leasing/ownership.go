package leasing

import "context"

// state is the state of an ownership; the package documentation has the transitions.
type state uint8

const (
	acquiring state = iota // the request for the lease key is under way
	owned                  // the lease key is ours while the epoch lasts
	releasing              // the lease key is being deleted, if it is ours
)

// ownership is this client's ownership of one key: from the request for its lease key until the
// lease key is certain not to be ours. A key has at most one.
type ownership struct {
	// read-only after it was made
	key     string
	epoch   *epoch
	ctx     context.Context // ends with the epoch, and when the release starts
	stop    context.CancelFunc
	settled chan struct{} // closed when the ownership is no longer acquiring
	ended   chan struct{} // closed when the ownership is no longer in the cache

	// written before settled is closed, read-only afterwards
	read        *cachedKey // the key as the request has read it, nil if it has not
	created     int64      // the create revision of the lease key; 0 if it is not ours
	isUncertain bool       // it is unknown whether the lease key is ours

	// guarded by cache.mu
	state  state
	cached *cachedKey // owned: the key
	writes int        // owned: own writes under way; the cached key may be stale
}

// usable returns the cached key if it is what the server has, as long as the epoch is certain, and
// nil otherwise. The caller holds cache.mu.
func (o *ownership) usable() *cachedKey {
	if o == nil || o.state != owned || o.writes > 0 {
		return nil
	}
	return o.cached
}

// startRelease ends the watch of the lease key, after which its goroutine deletes the lease key. An
// ownership that is acquiring is released once it has settled. The caller holds cache.mu.
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
