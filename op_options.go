package clientv3

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// OpOption changes an [Op] while it is made. The options of one call run once, in the order they
// are given in; where two set the same thing, the last wins. [OpGet], [OpPut], [OpDelete] and
// [OpWatch] say which options they refuse.
type OpOption func(*Op)

// endOfKeys is the range end that stands for the end of the key space, and as a key the lowest one
// there can be (rpc.proto, RangeRequest.range_end).
const endOfKeys = "\x00"

// WithRange makes a get, a delete or a watch mean the keys from the given key up to but not
// including endKey. An endKey of "\x00" is the end of the key space.
func WithRange(endKey string) OpOption {
	return func(op *Op) { op.end = []byte(endKey) }
}

// WithPrefix makes a get, a delete or a watch mean every key that starts with the given key. With
// an empty key that is every key there is. It cannot stand beside [WithFromKey].
func WithPrefix() OpOption {
	return func(op *Op) {
		op.prefix = true
		op.end = prefixEnd(op.key)
		op.orLowestKey()
	}
}

// WithFromKey makes a get, a delete or a watch mean the given key and every key after it. With an
// empty key that is every key there is. It cannot stand beside [WithPrefix].
func WithFromKey() OpOption {
	return func(op *Op) {
		op.fromKey = true
		op.end = []byte(endOfKeys)
		op.orLowestKey()
	}
}

// orLowestKey replaces an empty key, which servers refuse.
func (op *Op) orLowestKey() {
	if len(op.key) == 0 {
		op.key = []byte(endOfKeys)
	}
}

// GetPrefixRangeEnd returns the end of the range that holds the keys starting with prefix: the
// lowest key above all of them. It is "\x00", the end of the key space, where there is none: for an
// empty prefix and one of 0xff bytes only.
func GetPrefixRangeEnd(prefix string) string {
	return string(prefixEnd([]byte(prefix)))
}

// prefixEnd is GetPrefixRangeEnd in a new slice.
func prefixEnd(prefix []byte) []byte {
	last := len(prefix) - 1
	for last >= 0 && prefix[last] == math.MaxUint8 {
		last--
	}
	if last < 0 {
		return []byte(endOfKeys)
	}
	end := append([]byte(nil), prefix[:last+1]...)
	end[last]++
	return end
}

// IsOptsWithPrefix reports whether [WithPrefix] is among opts. It calls each of them on an Op of
// its own.
func IsOptsWithPrefix(opts []OpOption) bool { return appliedToEmpty(opts).prefix }

// IsOptsWithFromKey reports whether [WithFromKey] is among opts. It calls each of them on an Op of
// its own.
func IsOptsWithFromKey(opts []OpOption) bool { return appliedToEmpty(opts).fromKey }

func appliedToEmpty(opts []OpOption) *Op {
	op := NewOp()
	for _, opt := range opts {
		opt(op)
	}
	return op
}

// WithLimit bounds the number of keys that a get returns; GetResponse.More says whether there are
// others. 0 is no bound.
func WithLimit(n int64) OpOption {
	return func(op *Op) { op.limit = n }
}

// WithRev makes a get read the store as it was at revision rev, and a watch start with the events
// of rev. 0, the default, is the newest revision for a get and the next one for a watch. A revision
// that has been compacted gives rpctypes.ErrCompacted, and one that does not exist yet gives a get
// rpctypes.ErrFutureRev.
func WithRev(rev int64) OpOption {
	return func(op *Op) { op.rev = rev }
}

// SortTarget is the field of a key-value pair that a range is sorted by.
type SortTarget int

// SortOrder is the direction a range is sorted in.
type SortOrder int

// The orders of [WithSort]. With SortNone the server answers in key order.
const (
	SortNone    SortOrder = SortOrder(pb.RangeRequest_NONE)
	SortAscend  SortOrder = SortOrder(pb.RangeRequest_ASCEND)
	SortDescend SortOrder = SortOrder(pb.RangeRequest_DESCEND)
)

// The targets of [WithSort].
const (
	SortByKey            SortTarget = SortTarget(pb.RangeRequest_KEY)
	SortByVersion        SortTarget = SortTarget(pb.RangeRequest_VERSION)
	SortByCreateRevision SortTarget = SortTarget(pb.RangeRequest_CREATE)
	SortByModRevision    SortTarget = SortTarget(pb.RangeRequest_MOD)
	SortByValue          SortTarget = SortTarget(pb.RangeRequest_VALUE)
)

// SortOption is what [WithSort] asks for: the values of Target in Order. The zero value is the
// order of the keys.
type SortOption struct {
	Target SortTarget // what is compared
	Order  SortOrder  // which end comes first
}

// valid reports whether the protocol knows both the target and the order.
func (s SortOption) valid() bool {
	return s.Target >= SortByKey && s.Target <= SortByValue &&
		s.Order >= SortNone && s.Order <= SortDescend
}

// check returns rpctypes.ErrInvalidSortOption for a sort no server knows.
func (s SortOption) check() error {
	if !s.valid() {
		return rpctypes.ErrInvalidSortOption
	}
	return nil
}

// WithSort makes a get return its keys sorted by target. SortByKey ascending is the order they come
// in anyway. A target or an order that the protocol does not know gives
// rpctypes.ErrInvalidSortOption.
//
// With [WithLimit], the server sorts first and cuts off afterwards, unless order is SortNone.
func WithSort(target SortTarget, order SortOrder) OpOption {
	return func(op *Op) {
		op.sorted = true
		op.sort = SortOption{Target: target, Order: order}
		if target == SortByKey && order == SortAscend {
			op.sort.Order = SortNone // the same answer, without a sort on the server
		}
	}
}

// WithSerializable lets one member answer a get from its own data. That needs no quorum and costs
// less, but the answer may be stale. By default gets are linearizable.
func WithSerializable() OpOption {
	return func(op *Op) { op.serializable = true }
}

// WithKeysOnly makes a get leave out the values, which servers then do not send.
func WithKeysOnly() OpOption {
	return func(op *Op) { op.keysOnly = true }
}

// WithCountOnly makes a get return the number of keys, as GetResponse.Count, and none of them.
func WithCountOnly() OpOption {
	return func(op *Op) { op.countOnly = true }
}

// WithMinModRev makes a get leave out keys last modified before revision rev. 0, the default, is no
// bound. GetResponse.Count counts them all the same.
func WithMinModRev(rev int64) OpOption {
	return func(op *Op) { op.minModRev = rev }
}

// WithMaxModRev makes a get leave out keys last modified after revision rev. 0, the default, is no
// bound. GetResponse.Count counts them all the same.
func WithMaxModRev(rev int64) OpOption {
	return func(op *Op) { op.maxModRev = rev }
}

// WithMinCreateRev makes a get leave out keys created before revision rev. 0, the default, is no
// bound. GetResponse.Count counts them all the same.
func WithMinCreateRev(rev int64) OpOption {
	return func(op *Op) { op.minCreateRev = rev }
}

// WithMaxCreateRev makes a get leave out keys created after revision rev. 0, the default, is no
// bound. GetResponse.Count counts them all the same.
func WithMaxCreateRev(rev int64) OpOption {
	return func(op *Op) { op.maxCreateRev = rev }
}

// WithFirstKey makes a get return the lowest of the keys that start with the given one.
func WithFirstKey() []OpOption { return withTop(SortByKey, SortAscend) }

// WithLastKey makes a get return the highest of the keys that start with the given one.
func WithLastKey() []OpOption { return withTop(SortByKey, SortDescend) }

// WithFirstCreate makes a get return, of the keys that start with the given one, the one created
// first.
func WithFirstCreate() []OpOption { return withTop(SortByCreateRevision, SortAscend) }

// WithLastCreate makes a get return, of the keys that start with the given one, the one created
// last.
func WithLastCreate() []OpOption { return withTop(SortByCreateRevision, SortDescend) }

// WithFirstRev makes a get return, of the keys that start with the given one, the one whose last
// modification is the oldest.
func WithFirstRev() []OpOption { return withTop(SortByModRevision, SortAscend) }

// WithLastRev makes a get return, of the keys that start with the given one, the one modified last.
func WithLastRev() []OpOption { return withTop(SortByModRevision, SortDescend) }

// withTop returns a slice of the caller's own, which may be appended to.
func withTop(target SortTarget, order SortOrder) []OpOption {
	return []OpOption{WithPrefix(), WithSort(target, order), WithLimit(1)}
}

// WithLease attaches the key of a put to a lease: the key is deleted when the lease ends.
// [NoLease], the default, detaches it from the one it had.
func WithLease(leaseID LeaseID) OpOption {
	return func(op *Op) { op.lease = leaseID }
}

// WithIgnoreValue makes a put keep the value the key has, and fail with rpctypes.ErrKeyNotFound
// where there is no such key. A put that has a value all the same fails with
// rpctypes.ErrValueProvided.
func WithIgnoreValue() OpOption {
	return func(op *Op) { op.ignoreValue = true }
}

// WithIgnoreLease makes a put keep the lease the key has, and fail with rpctypes.ErrKeyNotFound
// where there is no such key. Beside [WithLease] it fails with rpctypes.ErrLeaseProvided.
func WithIgnoreLease() OpOption {
	return func(op *Op) { op.ignoreLease = true }
}

// WithPrevKV makes a put and a delete return what they replace, and a watch send with every event
// the key-value pair from before it, unless that has been compacted.
func WithPrevKV() OpOption {
	return func(op *Op) { op.prevKV = true }
}

// WithProgressNotify makes the server tell a watch that has had no events for some time, by default
// ten minutes, which revision it has reached. WatchResponse.IsProgressNotify tells these responses
// apart.
func WithProgressNotify() OpOption {
	return func(op *Op) { op.progressNotify = true }
}

// WithCreatedNotify makes a watch send, before anything else, one response with Created set, as
// soon as the server has the watch. It does not come again when the watch resumes after a broken
// connection.
func WithCreatedNotify() OpOption {
	return func(op *Op) { op.createdNotify = true }
}

// WithFilterPut makes the server keep put events from a watch. A revision of nothing else is not
// reported.
func WithFilterPut() OpOption {
	return func(op *Op) { op.filterPut = true }
}

// WithFilterDelete makes the server keep delete events from a watch. A revision of nothing else is
// not reported.
func WithFilterDelete() OpOption {
	return func(op *Op) { op.filterDelete = true }
}

// WithFragment lets the server split the events of one revision into messages below its request
// limit, 1.5 MiB by default, so that a watch survives a transaction of any size. The client puts
// them together again: a watch delivers a revision whole, in one response.
func WithFragment() OpOption {
	return func(op *Op) { op.fragment = true }
}

// WithWatchBufLog makes the client log a warning while responses pile up because the consumer of a
// watch does not read them.
func WithWatchBufLog() OpOption {
	return func(op *Op) { op.watchBufLog = true }
}

// WithWatchBuffer sets how much the client keeps for a watch whose consumer does not read: bytes of
// events and a number of responses, whichever is reached first. Past that the watch pauses on the
// server, and it resumes where the consumer stopped once that has read what waits: memory stays
// bounded and nothing is lost, unless the revision is compacted meanwhile. 0 or less keeps the
// default of 8 MiB and of 4,096 responses.
func WithWatchBuffer(bytes, responses int) OpOption {
	return func(op *Op) {
		op.watchBufferBytes = max(bytes, 0)
		op.watchBufferResponses = max(responses, 0)
	}
}

const (
	defaultWatchBufferBytes     = 8 << 20
	defaultWatchBufferResponses = 4096
)

// watchBuffer returns the limits of WithWatchBuffer or their defaults.
func (op *Op) watchBuffer() (bytes, responses int) {
	bytes, responses = op.watchBufferBytes, op.watchBufferResponses
	if bytes == 0 {
		bytes = defaultWatchBufferBytes
	}
	if responses == 0 {
		responses = defaultWatchBufferResponses
	}
	return bytes, responses
}
