package clientv3

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var opMakers = map[string]func(opts ...OpOption) Op{
	"get":    func(opts ...OpOption) Op { return OpGet("k", opts...) },
	"put":    func(opts ...OpOption) Op { return OpPut("k", "v", opts...) },
	"delete": func(opts ...OpOption) Op { return OpDelete("k", opts...) },
	"watch":  func(opts ...OpOption) Op { return OpWatch("k", opts...) },
}

// panicText returns what f panics with, and "" if it does not.
func panicText(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = v.(string)
		}
	}()
	f()
	return ""
}

// TestEveryOptionOnEveryKindOfOp is the whole validity table: each option against
// the kinds that refuse it. All other pairs must be accepted.
func TestEveryOptionOnEveryKindOfOp(t *testing.T) {
	tests := []struct {
		call    string
		opt     OpOption
		refused string
	}{
		{`WithRange("z")`, WithRange("z"), "put"},
		{`WithPrefix()`, WithPrefix(), "put"},
		{`WithFromKey()`, WithFromKey(), "put"},
		{`WithLimit(7)`, WithLimit(7), "put delete watch"},
		{`WithLimit(-1)`, WithLimit(-1), "put delete watch"},
		{`WithRev(9)`, WithRev(9), "put delete"},
		{`WithSort(3, 2)`, WithSort(SortByModRevision, SortDescend), "put delete watch"},
		{`WithSort(0, 0)`, WithSort(SortByKey, SortAscend), "put delete watch"},
		{`WithSort(99, 0)`, WithSort(99, SortNone), "put delete watch"},
		{`WithSerializable()`, WithSerializable(), "put delete watch"},
		{`WithCountOnly()`, WithCountOnly(), "put delete watch"},
		{`WithMinModRev(4)`, WithMinModRev(4), "put delete watch"},
		{`WithMaxModRev(4)`, WithMaxModRev(4), "put delete watch"},
		{`WithMinCreateRev(4)`, WithMinCreateRev(4), "put delete watch"},
		{`WithMaxCreateRev(4)`, WithMaxCreateRev(4), "put delete watch"},
		{`WithLease(12)`, WithLease(12), "delete watch"},
		{`WithFilterPut()`, WithFilterPut(), "put delete"},
		{`WithFilterDelete()`, WithFilterDelete(), "put delete"},
		{`WithCreatedNotify()`, WithCreatedNotify(), "put delete"},
		{`WithWatchBuffer(10, 3)`, WithWatchBuffer(10, 3), "get put delete"},
		{`WithWatchBuffer(0, 3)`, WithWatchBuffer(-1, 3), "get put delete"},
		{`WithKeysOnly()`, WithKeysOnly(), ""},
		{`WithPrevKV()`, WithPrevKV(), ""},
		{`WithProgressNotify()`, WithProgressNotify(), ""},
		{`WithFragment()`, WithFragment(), ""},
		{`WithIgnoreValue()`, WithIgnoreValue(), ""},
		{`WithIgnoreLease()`, WithIgnoreLease(), ""},
		{`WithWatchBufLog()`, WithWatchBufLog(), ""},
		// An option at its field's zero value is no option.
		{`WithRange("")`, WithRange(""), ""},
		{`WithLimit(0)`, WithLimit(0), ""},
		{`WithRev(0)`, WithRev(0), ""},
		{`WithMinModRev(0)`, WithMinModRev(0), ""},
		{`WithMaxModRev(0)`, WithMaxModRev(0), ""},
		{`WithMinCreateRev(0)`, WithMinCreateRev(0), ""},
		{`WithMaxCreateRev(0)`, WithMaxCreateRev(0), ""},
		{`WithLease(0)`, WithLease(NoLease), ""},
		{`WithWatchBuffer(0, 0)`, WithWatchBuffer(0, -5), ""},
	}
	for _, tt := range tests {
		for kind, newOp := range opMakers {
			t.Run(kind+"/"+tt.call, func(t *testing.T) {
				text := panicText(func() { newOp(tt.opt) })
				if !strings.Contains(" "+tt.refused+" ", " "+kind+" ") {
					assert.Empty(t, text, "the op refuses an option it must accept")
					return
				}
				assert.Equal(t, "etcdclient: "+tt.call+" is not an option of a "+kind, text)
			})
		}
	}
}

func TestPrefixBesideFromKeyPanics(t *testing.T) {
	for kind, newOp := range opMakers {
		for _, opts := range [][]OpOption{{WithPrefix(), WithFromKey()},
			{WithFromKey(), WithPrefix()}} {
			text := panicText(func() { newOp(opts...) })
			assert.Contains(t, text, "WithPrefix()")
			assert.Contains(t, text, "WithFromKey()")
			assert.Contains(t, text, "one "+kind)
		}
	}
}

// TestOptionsRunOnce counts the calls of an option: one for each op made.
func TestOptionsRunOnce(t *testing.T) {
	for kind, newOp := range opMakers {
		calls := 0
		newOp(func(*Op) { calls++ })
		assert.Equal(t, 1, calls, kind)
	}
}

// TestCallersSliceIsNotAppendedTo gives a slice with room behind its end, which
// must still be empty afterwards.
func TestCallersSliceIsNotAppendedTo(t *testing.T) {
	for kind, newOp := range opMakers {
		opts := make([]OpOption, 1, 8)
		opts[0] = WithPrevKV()
		newOp(opts...)
		for _, opt := range opts[1:cap(opts)] {
			assert.Nil(t, opt, kind)
		}
	}
}

// TestOpReadsBackItsOptions covers every accessor with an op of a kind that takes
// the option.
func TestOpReadsBackItsOptions(t *testing.T) {
	get := OpGet("k", WithRange("z"), WithLimit(3), WithRev(5), WithMinModRev(6), WithMaxModRev(7),
		WithMinCreateRev(8), WithMaxCreateRev(9), WithSort(SortByValue, SortDescend))
	assert.Equal(t, []byte("k"), get.KeyBytes())
	assert.Equal(t, []byte("z"), get.RangeBytes())
	assert.Equal(t, [...]int64{3, 5, 6, 7, 8, 9},
		[...]int64{get.Limit(), get.Rev(), get.MinModRev(), get.MaxModRev(), get.MinCreateRev(),
			get.MaxCreateRev()})
	assert.Equal(t, []byte("v"), OpPut("k", "v").ValueBytes())

	flags := []struct {
		name string
		read func(Op) bool
		opt  OpOption
		kind string
	}{
		{"IsSortSet", Op.IsSortSet, WithSort(SortByKey, SortAscend), "get"},
		{"IsSerializable", Op.IsSerializable, WithSerializable(), "get"},
		{"IsKeysOnly", Op.IsKeysOnly, WithKeysOnly(), "get"},
		{"IsCountOnly", Op.IsCountOnly, WithCountOnly(), "get"},
		{"IsOptsWithPrefix", Op.IsOptsWithPrefix, WithPrefix(), "get"},
		{"IsOptsWithFromKey", Op.IsOptsWithFromKey, WithFromKey(), "get"},
		{"IsPrevKV", Op.IsPrevKV, WithPrevKV(), "put"},
		{"IsFragment", Op.IsFragment, WithFragment(), "watch"},
		{"IsProgressNotify", Op.IsProgressNotify, WithProgressNotify(), "watch"},
		{"IsCreatedNotify", Op.IsCreatedNotify, WithCreatedNotify(), "watch"},
		{"IsFilterPut", Op.IsFilterPut, WithFilterPut(), "watch"},
		{"IsFilterDelete", Op.IsFilterDelete, WithFilterDelete(), "watch"},
	}
	for i, set := range flags {
		op := opMakers[set.kind](set.opt)
		for j, tt := range flags {
			assert.Equal(t, i == j, tt.read(op), "%s on an op with the option of %s", tt.name,
				set.name)
		}
	}
}

func TestOpKinds(t *testing.T) {
	kinds := func(op Op) [4]bool {
		return [4]bool{op.IsGet(), op.IsPut(), op.IsDelete(), op.IsTxn()}
	}
	assert.Equal(t, [4]bool{true, false, false, false}, kinds(OpGet("k")))
	assert.Equal(t, [4]bool{false, true, false, false}, kinds(OpPut("k", "v")))
	assert.Equal(t, [4]bool{false, false, true, false}, kinds(OpDelete("k")))
	assert.Equal(t, [4]bool{false, false, false, true}, kinds(OpTxn(nil, nil, nil)))
	assert.Equal(t, [4]bool{}, kinds(OpWatch("k")))
	assert.Equal(t, [4]bool{}, kinds(*NewOp()))
	assert.Equal(t, "op of unknown kind 77", opKind(77).String())
}

func TestOpWithBytes(t *testing.T) {
	op := OpPut("k", "v")
	changed := op
	changed.WithKeyBytes([]byte("k2"))
	changed.WithRangeBytes([]byte("z2"))
	changed.WithValueBytes([]byte("v2"))
	assert.Equal(t, "k2 z2 v2", string(changed.KeyBytes())+" "+string(
		changed.RangeBytes())+" "+string(changed.ValueBytes()))
	assert.Equal(t, "k v", string(op.KeyBytes())+" "+string(op.ValueBytes()),
		"the original of a copy must not change")
	assert.Empty(t, op.RangeBytes())
}

func TestOpTxnParts(t *testing.T) {
	cmps := []Cmp{Compare(Value("k"), "=", "v")}
	then, els := []Op{OpPut("k", "w")}, []Op{OpGet("k"), OpDelete("k")}
	gotCmps, gotThen, gotElse := OpTxn(cmps, then, els).Txn()
	assert.Equal(t, cmps, gotCmps)
	assert.Equal(t, then, gotThen)
	assert.Equal(t, els, gotElse)

	gotCmps, gotThen, gotElse = OpGet("k").Txn()
	assert.Nil(t, gotCmps)
	assert.Nil(t, gotThen)
	assert.Nil(t, gotElse)
}

func TestSortOptionValidity(t *testing.T) {
	for target := SortTarget(-1); target <= 5; target++ {
		for order := SortOrder(-1); order <= 3; order++ {
			known := target >= 0 && target <= 4 && order >= 0 && order <= 2
			assert.Equal(t, known, OpGet("k", WithSort(target, order)).IsSortOptionValid(),
				"WithSort(%d, %d)", target, order)
		}
	}
	assert.True(t, OpGet("k").IsSortOptionValid())
}

// TestOpWithoutOptionsStaysOnTheStack counts what making an op costs: the bytes of
// its key and value, no more.
func TestOpWithoutOptionsStaysOnTheStack(t *testing.T) {
	// too long for the compiler's own buffers
	key, val := strings.Repeat("k", 64), strings.Repeat("v", 64)
	allocs := testing.AllocsPerRun(100, func() {
		op := OpPut(key, val)
		if !op.IsPut() {
			panic("not a put")
		}
	})
	require.LessOrEqual(t, allocs, 2.0)
}
