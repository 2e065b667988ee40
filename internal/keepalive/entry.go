package keepalive

import (
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// instant is a point in time, as the monotonic time since the keeper was made.
type instant = time.Duration

const never instant = math.MaxInt64

// after returns the instant d after t, or never if the sum overflows. It can overflow because a TTL
// may be centuries long.
func after(t instant, d time.Duration) instant {
	if d > never-t {
		return never
	}
	return t + d
}

// maxTTL is the largest TTL, in seconds, that a time.Duration can hold.
const maxTTL = int64(math.MaxInt64 / time.Second)

// seconds converts a TTL, which the protocol counts in seconds, to a duration. It returns the
// largest duration of whole seconds if the TTL is too large for a duration.
func seconds(ttl int64) time.Duration {
	return time.Duration(min(ttl, maxTTL)) * time.Second
}

// Sink receives the server's answers for one [Subscriber]. Its methods are called with the keeper's
// mutex held, one at a time: they must not block and not call the keeper.
type Sink interface {
	// Deliver takes an answer and reports whether there was room for it. sent is the time at which
	// the request for this answer was handed to the stream. If the keeper waited for no answer,
	// sent is the zero time. For example, a server may answer one request twice.
	Deliver(resp *pb.LeaseKeepAliveResponse, sent time.Time) bool
	// Close is called once, and is the last call. reason says why no further answers come.
	Close(reason error)
}

// Subscriber is the keeper's record of one call of [Keeper.KeepAlive]. The zero value is ready for
// the call. A Subscriber can be a field of its sink, so that both are one allocation. It must not
// be copied.
type Subscriber struct {
	sink          Sink
	entry         *entry      // the lease's entry; nil once the subscriber is closed
	stop          func() bool // cancels the context.AfterFunc on KeepAlive's ctx; may be nil
	requireLeader bool
}

// entry is one kept lease. The fields seq, subs and due tell which of the four states of the
// package comment the entry is in:
//
//	waiting   seq is not 0, and the entry has subscribers
//	orphan    seq is not 0, and the entry has no subscribers
//	doubtful  seq is 0, and due is the constant never
//	resting   seq is 0, and due is any other instant
type entry struct {
	id     int64
	ttl    time.Duration // from the latest answer; before the first answer, an assumed TTL
	expiry instant       // when the subscribers are closed, if no answer comes first
	due    instant       // resting: when to renew the lease; doubtful: never
	sentAt instant       // waiting: when the request was handed to the link
	seq    uint64        // number of the request in flight; 0: there is none
	known  bool          // a renewal has been answered with a TTL
	subs   []*Subscriber
	first  [1]*Subscriber // the array behind subs, until there is a second subscriber

	// The methods of schedule set bucket and index.
	bucket *bucket // the entries that need attention at the same instant; nil: not scheduled
	index  int     // the position in bucket.entries

	doubts int    // how often the entry has changed from doubtful to resting
	stream uint64 // doubtful: number of the stream whose member did not know the lease
}

func (e *entry) waiting() bool { return e.seq != 0 }

func (e *entry) doubtful() bool { return e.due == never && !e.waiting() }
