package clientv3

import (
	"cmp"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// OpOption is an option of a request: a function that sets fields of the request's [Op]. The
// options of a call run once, in their order. If two options set the same field, the last one wins.
// [OpGet], [OpPut], [OpDelete] and [OpWatch] say which options they refuse.
type OpOption func(*Op)

// endOfKeys, as the end of a range, means the end of the key space (rpc.proto,
// RangeRequest.range_end). As a key, it is the lowest key.
const endOfKeys = "\x00"

// WithRange makes a get, a delete or a watch cover the keys from the given key up to but not
// including endKey. An endKey of "\x00" is the end of the key space.
func WithRange(endKey string) OpOption { return func(op *Op) { op.end = []byte(endKey) } }

// WithPrefix makes a get, a delete or a watch cover every key that starts with the given key. An
// empty key means all keys. WithPrefix and [WithFromKey] exclude each other.
func WithPrefix() OpOption {
	return func(op *Op) {
		op.prefix = true
		op.end = prefixEnd(op.key)
		op.orLowestKey()
	}
}

// WithFromKey makes a get, a delete or a watch cover the given key and every key after it. An empty
// key means all keys. WithFromKey and [WithPrefix] exclude each other.
func WithFromKey() OpOption {
	return func(op *Op) {
		op.fromKey = true
		op.end = []byte(endOfKeys)
		op.orLowestKey()
	}
}

// orLowestKey replaces an empty key, which servers refuse, with the lowest key.
func (op *Op) orLowestKey() {
	if len(op.key) == 0 {
		op.key = []byte(endOfKeys)
	}
}

// GetPrefixRangeEnd returns the end of the range of all keys that start with prefix: the lowest key
// that comes after them. If there is no such key, because prefix is empty or consists of 0xff
// bytes, it returns "\x00", the end of the key space.
func GetPrefixRangeEnd(prefix string) string { return string(prefixEnd([]byte(prefix))) }

// prefixEnd is GetPrefixRangeEnd for bytes. It returns a new slice.
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

// IsOptsWithPrefix reports whether [WithPrefix] is among opts. It calls each option once, with an
// empty Op.
func IsOptsWithPrefix(opts []OpOption) bool { return appliedToEmpty(opts).prefix }

// IsOptsWithFromKey reports whether [WithFromKey] is among opts. It calls each option once, with an
// empty Op.
func IsOptsWithFromKey(opts []OpOption) bool { return appliedToEmpty(opts).fromKey }

func appliedToEmpty(opts []OpOption) *Op {
	op := NewOp()
	for _, opt := range opts {
		opt(op)
	}
	return op
}

// WithLimit makes a get return at most n keys. GetResponse.More reports whether the range has more
// keys. 0 means no limit.
func WithLimit(n int64) OpOption { return func(op *Op) { op.limit = n } }

// WithRev sets the revision of a get or a watch. A get reads the store as it was at revision rev;
// 0, the default, means the latest revision. A watch starts with the events of rev; 0 means the
// next revision.
//
// A compacted revision is refused with rpctypes.ErrCompacted. A get at a revision that does not
// exist yet is refused with rpctypes.ErrFutureRev.
func WithRev(rev int64) OpOption { return func(op *Op) { op.rev = rev } }

// SortTarget is the field of a key-value pair by which [WithSort] sorts.
type SortTarget int

// SortOrder is the direction in which [WithSort] sorts.
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

// SortOption holds the arguments of [WithSort]. The zero value means the order of the keys.
type SortOption struct {
	Target SortTarget // the field to sort by
	Order  SortOrder  // SortAscend, SortDescend, or SortNone for an unsorted answer
}

// check returns rpctypes.ErrInvalidSortOption unless the protocol knows both the target and the
// order.
func (s SortOption) check() error {
	if s.Target < SortByKey || s.Target > SortByValue || s.Order < SortNone ||
		s.Order > SortDescend {
		return rpctypes.ErrInvalidSortOption
	}
	return nil
}

// WithSort makes a get return its keys sorted by target. SortByKey ascending is the default order.
// A target or an order that the protocol does not know is refused with
// rpctypes.ErrInvalidSortOption.
//
// With [WithLimit], the server sorts first and then applies the limit. If order is SortNone, the
// server does not sort.
func WithSort(target SortTarget, order SortOrder) OpOption {
	return func(op *Op) {
		op.sorted = true
		op.sort = SortOption{Target: target, Order: order}
		if target == SortByKey && order == SortAscend {
			op.sort.Order = SortNone // spares the server a sort: unsorted answers are in key order
		}
	}
}

// WithSerializable makes one member answer a get from its own data. Such a get needs no quorum and
// costs less, but its answer may be stale. By default gets are linearizable.
func WithSerializable() OpOption { return func(op *Op) { op.serializable = true } }

// WithKeysOnly makes a get leave out the values, which servers then do not send.
func WithKeysOnly() OpOption { return func(op *Op) { op.keysOnly = true } }

// WithCountOnly makes a get return the number of keys, in GetResponse.Count, without the keys.
func WithCountOnly() OpOption { return func(op *Op) { op.countOnly = true } }

// WithMinModRev makes a get leave out keys that were last modified before revision rev.
// GetResponse.Count still counts these keys. 0, the default, means no bound.
func WithMinModRev(rev int64) OpOption { return func(op *Op) { op.minModRev = rev } }

// WithMaxModRev makes a get leave out keys that were last modified after revision rev.
// GetResponse.Count still counts these keys. 0, the default, means no bound.
func WithMaxModRev(rev int64) OpOption { return func(op *Op) { op.maxModRev = rev } }

// WithMinCreateRev makes a get leave out keys that were created before revision rev.
// GetResponse.Count still counts these keys. 0, the default, means no bound.
func WithMinCreateRev(rev int64) OpOption { return func(op *Op) { op.minCreateRev = rev } }

// WithMaxCreateRev makes a get leave out keys that were created after revision rev.
// GetResponse.Count still counts these keys. 0, the default, means no bound.
func WithMaxCreateRev(rev int64) OpOption { return func(op *Op) { op.maxCreateRev = rev } }

// WithFirstKey makes a get return the lowest of the keys that start with the given key.
func WithFirstKey() []OpOption { return withTop(SortByKey, SortAscend) }

// WithLastKey makes a get return the highest of the keys that start with the given key.
func WithLastKey() []OpOption { return withTop(SortByKey, SortDescend) }

// WithFirstCreate makes a get return the key that was created first among the keys that start with
// the given key.
func WithFirstCreate() []OpOption { return withTop(SortByCreateRevision, SortAscend) }

// WithLastCreate makes a get return the key that was created last among the keys that start with
// the given key.
func WithLastCreate() []OpOption { return withTop(SortByCreateRevision, SortDescend) }

// WithFirstRev makes a get return the key whose last modification is the oldest, among the keys
// that start with the given key.
func WithFirstRev() []OpOption { return withTop(SortByModRevision, SortAscend) }

// WithLastRev makes a get return the key that was modified last among the keys that start with the
// given key.
func WithLastRev() []OpOption { return withTop(SortByModRevision, SortDescend) }

// withTop returns options that make a get return one key. This key is the first, sorted by target
// and order, of the keys that start with the get's key. The slice is new, because callers append to
// it.
func withTop(target SortTarget, order SortOrder) []OpOption {
	return []OpOption{WithPrefix(), WithSort(target, order), WithLimit(1)}
}

// WithLease attaches the key of a put to a lease: the key is deleted when the lease ends.
// [NoLease], the default, detaches the key from its lease.
func WithLease(leaseID LeaseID) OpOption { return func(op *Op) { op.lease = leaseID } }

// WithIgnoreValue makes a put keep the key's current value. The put fails with
// rpctypes.ErrKeyNotFound if there is no such key, and with rpctypes.ErrValueProvided if the put
// has a value.
func WithIgnoreValue() OpOption { return func(op *Op) { op.ignoreValue = true } }

// WithIgnoreLease makes a put keep the key's current lease. The put fails with
// rpctypes.ErrKeyNotFound if there is no such key, and with rpctypes.ErrLeaseProvided if
// [WithLease] is given, too.
func WithIgnoreLease() OpOption { return func(op *Op) { op.ignoreLease = true } }

// WithPrevKV makes the server return the key-value pairs from before a change. A put returns the
// pair that it replaces, and a delete the pairs that it deletes. A watch delivers, with each event,
// the pair as it was before the event, unless that pair was compacted.
func WithPrevKV() OpOption { return func(op *Op) { op.prevKV = true } }

// WithProgressNotify makes the server send progress notices to a watch that has no events, by
// default every ten minutes. A progress notice is a response without events. Its Header.Revision
// says that all changes up to this revision have been delivered. WatchResponse.IsProgressNotify
// reports whether a response is a progress notice.
func WithProgressNotify() OpOption { return func(op *Op) { op.progressNotify = true } }

// WithCreatedNotify makes a watch deliver a response with Created set when the server has confirmed
// the watch. This response is the first of the watch, and is not repeated when the watch resumes.
func WithCreatedNotify() OpOption { return func(op *Op) { op.createdNotify = true } }

// WithFilterPut makes the server leave put events out of a watch. The watch delivers no response
// for a revision that has only put events.
func WithFilterPut() OpOption { return func(op *Op) { op.filterPut = true } }

// WithFilterDelete makes the server leave delete events out of a watch. The watch delivers no
// response for a revision that has only delete events.
func WithFilterDelete() OpOption { return func(op *Op) { op.filterDelete = true } }

// WithFragment lets the server split the events of one revision into several messages. Each message
// is below the server's request limit, 1.5 MiB by default. So a watch can deliver a transaction
// whose events do not fit into one message. The client merges the messages: a watch delivers a
// whole revision in one response.
func WithFragment() OpOption { return func(op *Op) { op.fragment = true } }

// WithWatchBufLog makes the client log a warning while the consumer of a watch does not read the
// responses.
func WithWatchBufLog() OpOption { return func(op *Op) { op.watchBufLog = true } }

// WithWatchBuffer limits how much the client keeps in memory for a watch whose consumer does not
// read. The limits are the size of the events, in bytes, and the number of responses. For either
// argument, 0 or less means the default: 8 MiB, and 4,096 responses.
//
// When either limit is reached, the client pauses the watch: it cancels the watch on the server.
// When the consumer has read everything that was kept, the client creates the watch again, from the
// next revision. So no event is lost. But if a revision that was not delivered is compacted during
// the pause, the watch ends with rpctypes.ErrCompacted.
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

// watchBuffer returns the limits that WithWatchBuffer has set, or their defaults.
func (op *Op) watchBuffer() (bytes, responses int) {
	return cmp.Or(op.watchBufferBytes, defaultWatchBufferBytes),
		cmp.Or(op.watchBufferResponses, defaultWatchBufferResponses)
}
