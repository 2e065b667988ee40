package clientv3

import (
	"fmt"
	"strconv"
)

// Op describes one request to the key-value store: a get, a put, a delete, a transaction or a
// watch. [KV.Do] runs an Op. [Txn] and [OpTxn] put Ops into a transaction.
//
// An Op is a value and can be run any number of times. Copies of an Op share its byte slices and,
// for a transaction, its conditions and ops. The client does not change this shared data, and a
// caller must not change it while a copy is in use.
type Op struct {
	kind opKind

	key []byte // the key, or the first key of a range
	end []byte // exclusive end of the range; "\x00": end of the key space; empty: key alone

	// used by a get; rev is also used by a watch
	limit        int64
	rev          int64
	minModRev    int64
	maxModRev    int64
	minCreateRev int64
	maxCreateRev int64
	sort         SortOption
	sorted       bool
	serializable bool
	keysOnly     bool
	countOnly    bool

	// used by a put
	ignoreValue bool
	ignoreLease bool
	value       []byte
	lease       LeaseID

	// used by a put, a delete and a watch
	prevKV bool

	// used by a watch
	createdNotify        bool
	progressNotify       bool
	fragment             bool
	filterPut            bool
	filterDelete         bool
	watchBufLog          bool
	watchBufferBytes     int // 0: defaultWatchBufferBytes
	watchBufferResponses int // 0: defaultWatchBufferResponses

	// whether WithPrefix and WithFromKey were given
	prefix  bool
	fromKey bool

	txn *txnParts // nil unless kind is kindTxn
}

// txnParts holds the arguments of [OpTxn].
type txnParts struct {
	cmps    []Cmp
	thenOps []Op
	elseOps []Op
}

// opKind says which request an Op describes.
type opKind uint8

const (
	kindNone opKind = iota
	kindGet
	kindPut
	kindDelete
	kindTxn
	kindWatch
)

var kindNames = [...]string{kindNone: "empty op", kindGet: "get", kindPut: "put",
	kindDelete: "delete", kindTxn: "txn", kindWatch: "watch"}

func (k opKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("op of unknown kind %d", uint8(k))
}

// NewOp returns an empty Op, which [KV.Do] and [Txn] refuse. Code that wraps a [KV] or a [Watcher]
// applies options to an empty Op to find out what the options set.
func NewOp() *Op { return &Op{} }

// OpGet returns the Op that [KV.Get] makes of its arguments: a get of key or, with [WithRange],
// [WithPrefix] or [WithFromKey], of a range of keys.
//
// It panics if WithPrefix and WithFromKey are both given, and if [WithWatchBuffer] is given. It
// ignores other options that mean nothing to a get.
func OpGet(key string, opts ...OpOption) Op {
	return Op{kind: kindGet, key: []byte(key)}.with(opts)
}

// OpPut returns the Op that [KV.Put] makes of its arguments.
//
// It panics for an option that asks for a range, a read or a watch: [WithRange], [WithPrefix],
// [WithFromKey], [WithLimit], [WithRev], [WithSort], [WithSerializable], [WithCountOnly],
// [WithMinModRev], [WithMaxModRev], [WithMinCreateRev], [WithMaxCreateRev], [WithFilterPut],
// [WithFilterDelete], [WithCreatedNotify] and [WithWatchBuffer]. It ignores other options that mean
// nothing to a put.
func OpPut(key, val string, opts ...OpOption) Op {
	return Op{kind: kindPut, key: []byte(key), value: []byte(val)}.with(opts)
}

// OpDelete returns the Op that [KV.Delete] makes of its arguments: the deletion of key or, with
// [WithRange], [WithPrefix] or [WithFromKey], of a range of keys.
//
// It panics if WithPrefix and WithFromKey are both given, and for an option that asks for a lease,
// a read or a watch: [WithLease], [WithLimit], [WithRev], [WithSort], [WithSerializable],
// [WithCountOnly], [WithMinModRev], [WithMaxModRev], [WithMinCreateRev], [WithMaxCreateRev],
// [WithFilterPut], [WithFilterDelete], [WithCreatedNotify] and [WithWatchBuffer]. It ignores other
// options that mean nothing to a delete.
func OpDelete(key string, opts ...OpOption) Op {
	return Op{kind: kindDelete, key: []byte(key)}.with(opts)
}

// OpWatch returns the Op that [Watcher.Watch] makes of its arguments. Code that wraps a Watcher
// calls OpWatch to find out which options were given. [KV.Do] and [Txn] refuse the Op.
//
// It panics if [WithPrefix] and [WithFromKey] are both given, and for an option that asks for a
// lease or a read: [WithLease], [WithLimit], [WithSort], [WithSerializable], [WithCountOnly],
// [WithMinModRev], [WithMaxModRev], [WithMinCreateRev] and [WithMaxCreateRev]. It ignores other
// options that mean nothing to a watch.
func OpWatch(key string, opts ...OpOption) Op {
	return Op{kind: kindWatch, key: []byte(key)}.with(opts)
}

// OpTxn returns a transaction as an Op, for [KV.Do] and for nesting in another transaction. If all
// cmps hold, or there are none, thenOps run; otherwise elseOps run. The Op keeps the three slices
// without copying them.
func OpTxn(cmps []Cmp, thenOps []Op, elseOps []Op) Op {
	return Op{kind: kindTxn, txn: &txnParts{cmps: cmps, thenOps: thenOps, elseOps: elseOps}}
}

// with applies opts to op and returns the changed op. If there are no options, it does not call
// apply, because apply would move op to the heap, which costs an allocation.
func (op Op) with(opts []OpOption) Op {
	if len(opts) == 0 {
		return op
	}
	return op.apply(opts)
}

// apply calls each option once, in order, and returns the changed op. It panics if ops of op's kind
// refuse one of the options.
func (op Op) apply(opts []OpOption) Op {
	for _, opt := range opts {
		opt(&op)
	}
	op.mustBeValid()
	return op
}

// mustBeValid panics if op has both WithPrefix and WithFromKey, or an option that ops of its kind
// refuse.
func (op *Op) mustBeValid() {
	if op.prefix && op.fromKey {
		panic(fmt.Sprintf(
			"etcdclient: WithPrefix() and WithFromKey() given to one %s: a range has one end",
			op.kind))
	}
	for _, rule := range &optionRules {
		if rule.refusedBy&(1<<op.kind) == 0 {
			continue
		}
		if args := rule.args(op); args != "" {
			panic(fmt.Sprintf("etcdclient: %s%s is not an option of a %s", rule.option, args,
				op.kind))
		}
	}
}

// kindSet is a set of op kinds, with one bit for each kind.
type kindSet uint8

const (
	byGet    kindSet = 1 << kindGet
	byPut    kindSet = 1 << kindPut
	byDelete kindSet = 1 << kindDelete
	byWatch  kindSet = 1 << kindWatch
	byWrites         = byPut | byDelete
)

// optionRule says which kinds of op refuse an option.
//
// The function args returns the option's arguments as a text such as "(5)", for the message of a
// panic. It reads them from the fields that the option sets. It returns "" if the option is missing
// or its argument is zero.
type optionRule struct {
	option    string
	refusedBy kindSet
	args      func(op *Op) string
}

// optionRules lists the options that some kinds of op refuse. An option that a kind of op neither
// refuses nor uses has no effect on ops of that kind.
var optionRules = [...]optionRule{
	{"WithPrefix", byPut, func(o *Op) string { return flag(o.prefix) }},
	{"WithFromKey", byPut, func(o *Op) string { return flag(o.fromKey) }},
	{"WithRange", byPut, rangeArgs},
	{"WithLease", byDelete | byWatch, func(o *Op) string { return number(int64(o.lease)) }},
	{"WithLimit", byWrites | byWatch, func(o *Op) string { return number(o.limit) }},
	{"WithRev", byWrites, func(o *Op) string { return number(o.rev) }},
	{"WithSort", byWrites | byWatch, sortArgs},
	{"WithSerializable", byWrites | byWatch, func(o *Op) string { return flag(o.serializable) }},
	{"WithCountOnly", byWrites | byWatch, func(o *Op) string { return flag(o.countOnly) }},
	{"WithMinModRev", byWrites | byWatch, func(o *Op) string { return number(o.minModRev) }},
	{"WithMaxModRev", byWrites | byWatch, func(o *Op) string { return number(o.maxModRev) }},
	{"WithMinCreateRev", byWrites | byWatch, func(o *Op) string { return number(o.minCreateRev) }},
	{"WithMaxCreateRev", byWrites | byWatch, func(o *Op) string { return number(o.maxCreateRev) }},
	{"WithFilterPut", byWrites, func(o *Op) string { return flag(o.filterPut) }},
	{"WithFilterDelete", byWrites, func(o *Op) string { return flag(o.filterDelete) }},
	{"WithCreatedNotify", byWrites, func(o *Op) string { return flag(o.createdNotify) }},
	{"WithWatchBuffer", byGet | byWrites, watchBufferArgs},
}

func flag(given bool) string {
	if !given {
		return ""
	}
	return "()"
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return "(" + strconv.FormatInt(n, 10) + ")"
}

func rangeArgs(op *Op) string {
	if len(op.end) == 0 {
		return ""
	}
	return "(" + strconv.Quote(string(op.end)) + ")"
}

func sortArgs(op *Op) string {
	if !op.sorted {
		return ""
	}
	return fmt.Sprintf("(%d, %d)", op.sort.Target, op.sort.Order)
}

func watchBufferArgs(op *Op) string {
	if op.watchBufferBytes == 0 && op.watchBufferResponses == 0 {
		return ""
	}
	return fmt.Sprintf("(%d, %d)", op.watchBufferBytes, op.watchBufferResponses)
}

// IsGet reports whether op comes from [OpGet].
func (op Op) IsGet() bool { return op.kind == kindGet }

// IsPut reports whether op comes from [OpPut].
func (op Op) IsPut() bool { return op.kind == kindPut }

// IsDelete reports whether op comes from [OpDelete].
func (op Op) IsDelete() bool { return op.kind == kindDelete }

// IsTxn reports whether op comes from [OpTxn].
func (op Op) IsTxn() bool { return op.kind == kindTxn }

// Txn returns the comparisons, then-ops and else-ops of a transaction. If op is not a transaction,
// all three are nil. The slices are not copies.
func (op Op) Txn() ([]Cmp, []Op, []Op) {
	if op.txn == nil {
		return nil, nil, nil
	}
	return op.txn.cmps, op.txn.thenOps, op.txn.elseOps
}

// KeyBytes returns the key, or the first key of a range. The slice is not a copy.
func (op Op) KeyBytes() []byte { return op.key }

// WithKeyBytes replaces the key, or the first key of a range. The slice is not copied. The end of
// the range does not change.
func (op *Op) WithKeyBytes(key []byte) { op.key = key }

// RangeBytes returns the exclusive end of the range. The result is empty if op is for a single key,
// and "\x00" if the range has no upper bound. The slice is not a copy.
func (op Op) RangeBytes() []byte { return op.end }

// WithRangeBytes sets the exclusive end of the range. The slice is not copied.
func (op *Op) WithRangeBytes(end []byte) { op.end = end }

// ValueBytes returns the value of a put. The slice is not a copy.
func (op Op) ValueBytes() []byte { return op.value }

// WithValueBytes sets the value of a put to v, which is not copied.
func (op *Op) WithValueBytes(v []byte) { op.value = v }

// Rev returns the revision that [WithRev] has set, or 0.
func (op Op) Rev() int64 { return op.rev }

// Limit returns the number of keys that [WithLimit] has set, or 0.
func (op Op) Limit() int64 { return op.limit }

// MinModRev returns the revision that [WithMinModRev] has set, or 0.
func (op Op) MinModRev() int64 { return op.minModRev }

// MaxModRev returns the revision that [WithMaxModRev] has set, or 0.
func (op Op) MaxModRev() int64 { return op.maxModRev }

// MinCreateRev returns the revision that [WithMinCreateRev] has set, or 0.
func (op Op) MinCreateRev() int64 { return op.minCreateRev }

// MaxCreateRev returns the revision that [WithMaxCreateRev] has set, or 0.
func (op Op) MaxCreateRev() int64 { return op.maxCreateRev }

// IsSortSet reports whether [WithSort] was given.
func (op Op) IsSortSet() bool { return op.sorted }

// IsSortOptionValid reports whether the protocol knows the target and the order that [WithSort] has
// set. It returns true if WithSort was not given.
func (op Op) IsSortOptionValid() bool { return op.sort.check() == nil }

// IsSerializable reports whether [WithSerializable] was given.
func (op Op) IsSerializable() bool { return op.serializable }

// IsKeysOnly reports whether [WithKeysOnly] was given.
func (op Op) IsKeysOnly() bool { return op.keysOnly }

// IsCountOnly reports whether [WithCountOnly] was given.
func (op Op) IsCountOnly() bool { return op.countOnly }

// IsOptsWithPrefix reports whether [WithPrefix] was given.
func (op Op) IsOptsWithPrefix() bool { return op.prefix }

// IsOptsWithFromKey reports whether [WithFromKey] was given.
func (op Op) IsOptsWithFromKey() bool { return op.fromKey }

// IsPrevKV reports whether [WithPrevKV] was given.
func (op Op) IsPrevKV() bool { return op.prevKV }

// IsFragment reports whether [WithFragment] was given.
func (op Op) IsFragment() bool { return op.fragment }

// IsProgressNotify reports whether [WithProgressNotify] was given.
func (op Op) IsProgressNotify() bool { return op.progressNotify }

// IsCreatedNotify reports whether [WithCreatedNotify] was given.
func (op Op) IsCreatedNotify() bool { return op.createdNotify }

// IsFilterPut reports whether [WithFilterPut] was given.
func (op Op) IsFilterPut() bool { return op.filterPut }

// IsFilterDelete reports whether [WithFilterDelete] was given.
func (op Op) IsFilterDelete() bool { return op.filterDelete }
