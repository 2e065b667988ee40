package keepalive

import (
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// instant is a point in time: what a monotonic clock has counted since the
// keeper was made.
type instant = time.Duration

const never instant = math.MaxInt64

// after adds without overflowing: leases may live for centuries.
func after(t instant, d time.Duration) instant {
	if d > never-t {
		return never
	}
	return t + d
}

// maxTTL is the largest TTL, in seconds, that a time.Duration can hold.
const maxTTL = int64(math.MaxInt64 / time.Second)

// seconds returns a TTL, which the protocol counts in seconds, as a duration.
func seconds(ttl int64) time.Duration {
	return time.Duration(min(ttl, maxTTL)) * time.Second
}

// Sink is where a subscriber's answers go. Its methods are called with the
// keeper's mutex held, one at a time: they must not block, nor call the keeper.
type Sink interface {
	// Deliver takes an answer, with the time at which its request was handed to
	// the stream, and reports whether there was room for it. The time is zero
	// for an answer that nothing in flight accounts for.
	Deliver(resp *pb.LeaseKeepAliveResponse, sent time.Time) bool
	// Close is called once, and is the last call.
	Close(reason error)
}

// Subscriber is one caller who wants a lease kept. The zero value is ready for [Keeper.KeepAlive].
// It can be part of its sink, so that the two cost one allocation. It must not be copied.
type Subscriber struct {
	sink          Sink
	entry         *entry      // nil once closed
	stop          func() bool // of the context.AfterFunc that ends it; nil without one
	requireLeader bool
}

// entry is one kept lease, in one of the states of the package comment: with a seq other than 0 it
// is waiting, or an orphan if it has no subscribers; otherwise it is doubtful if due is never, and
// resting if not.
type entry struct {
	id     int64
	ttl    time.Duration // latest granted; assumed before the first answer
	expiry instant       // unless answered by then, the subscribers close
	due    instant       // resting: when to renew
	sentAt instant       // waiting: when the request was handed to the link
	seq    uint64        // waiting: number of that request; 0 while resting
	known  bool          // a renewal has been answered with a TTL
	subs   []*Subscriber
	first  [1]*Subscriber // the array of subs as long as there is one

	// Set by the schedule.
	bucket *bucket
	index  int // in the bucket

	doubts int    // how often the lease has been doubtful
	stream uint64 // doubtful: number of the stream that did not know it
}

func (e *entry) waiting() bool { return e.seq != 0 }

func (e *entry) doubtful() bool { return e.due == never && !e.waiting() }
