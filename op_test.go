package clientv3_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var opMakers = map[string]func(opts ...clientv3.OpOption) clientv3.Op{
	"get": func(opts ...clientv3.OpOption) clientv3.Op {
		return clientv3.OpGet("k", opts...)
	},
	"put": func(opts ...clientv3.OpOption) clientv3.Op {
		return clientv3.OpPut("k", "v", opts...)
	},
	"delete": func(opts ...clientv3.OpOption) clientv3.Op {
		return clientv3.OpDelete("k", opts...)
	},
	"watch": func(opts ...clientv3.OpOption) clientv3.Op {
		return clientv3.OpWatch("k", opts...)
	},
}

// panicText returns the text that f panics with, and "" if it does not panic.
func panicText(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = v.(string)
		}
	}()
	f()
	return ""
}

// TestEveryOptionOnEveryKindOfOp shows, for each option, which kinds of op panic with it. All other
// kinds of op accept the option.
func TestEveryOptionOnEveryKindOfOp(t *testing.T) {
	tests := []struct {
		call    string
		opt     clientv3.OpOption
		refused string
	}{
		{`WithRange("z")`, clientv3.WithRange("z"), "put"},
		{`WithPrefix()`, clientv3.WithPrefix(), "put"},
		{`WithFromKey()`, clientv3.WithFromKey(), "put"},
		{`WithLimit(7)`, clientv3.WithLimit(7), "put delete watch"},
		{`WithLimit(-1)`, clientv3.WithLimit(-1), "put delete watch"},
		{`WithRev(9)`, clientv3.WithRev(9), "put delete"},
		{`WithSort(3, 2)`, clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend),
			"put delete watch"},
		{`WithSort(0, 0)`, clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend),
			"put delete watch"},
		{`WithSort(99, 0)`, clientv3.WithSort(99, clientv3.SortNone), "put delete watch"},
		{`WithSerializable()`, clientv3.WithSerializable(), "put delete watch"},
		{`WithCountOnly()`, clientv3.WithCountOnly(), "put delete watch"},
		{`WithMinModRev(4)`, clientv3.WithMinModRev(4), "put delete watch"},
		{`WithMaxModRev(4)`, clientv3.WithMaxModRev(4), "put delete watch"},
		{`WithMinCreateRev(4)`, clientv3.WithMinCreateRev(4), "put delete watch"},
		{`WithMaxCreateRev(4)`, clientv3.WithMaxCreateRev(4), "put delete watch"},
		{`WithLease(12)`, clientv3.WithLease(12), "delete watch"},
		{`WithFilterPut()`, clientv3.WithFilterPut(), "put delete"},
		{`WithFilterDelete()`, clientv3.WithFilterDelete(), "put delete"},
		{`WithCreatedNotify()`, clientv3.WithCreatedNotify(), "put delete"},
		{`WithWatchBuffer(10, 3)`, clientv3.WithWatchBuffer(10, 3), "get put delete"},
		{`WithWatchBuffer(0, 3)`, clientv3.WithWatchBuffer(-1, 3), "get put delete"},
		{`WithKeysOnly()`, clientv3.WithKeysOnly(), ""},
		{`WithPrevKV()`, clientv3.WithPrevKV(), ""},
		{`WithProgressNotify()`, clientv3.WithProgressNotify(), ""},
		{`WithFragment()`, clientv3.WithFragment(), ""},
		{`WithIgnoreValue()`, clientv3.WithIgnoreValue(), ""},
		{`WithIgnoreLease()`, clientv3.WithIgnoreLease(), ""},
		{`WithWatchBufLog()`, clientv3.WithWatchBufLog(), ""},
		// An option with the zero value of its field has no effect.
		{`WithRange("")`, clientv3.WithRange(""), ""},
		{`WithLimit(0)`, clientv3.WithLimit(0), ""},
		{`WithRev(0)`, clientv3.WithRev(0), ""},
		{`WithMinModRev(0)`, clientv3.WithMinModRev(0), ""},
		{`WithMaxModRev(0)`, clientv3.WithMaxModRev(0), ""},
		{`WithMinCreateRev(0)`, clientv3.WithMinCreateRev(0), ""},
		{`WithMaxCreateRev(0)`, clientv3.WithMaxCreateRev(0), ""},
		{`WithLease(0)`, clientv3.WithLease(clientv3.NoLease), ""},
		{`WithWatchBuffer(0, 0)`, clientv3.WithWatchBuffer(0, -5), ""},
	}
	for _, tt := range tests {
		for kind, newOp := range opMakers {
			t.Run(kind+"/"+tt.call, func(t *testing.T) {
				text := panicText(func() { newOp(tt.opt) })
				if !strings.Contains(" "+tt.refused+" ", " "+kind+" ") {
					assert.Empty(t, text, "the op must accept the option")
					return
				}
				assert.Equal(t, "etcdclient: "+tt.call+" is not an option of a "+kind, text)
			})
		}
	}
}

func TestPrefixBesideFromKeyPanics(t *testing.T) {
	for kind, newOp := range opMakers {
		for _, opts := range [][]clientv3.OpOption{{clientv3.WithPrefix(), clientv3.WithFromKey()},
			{clientv3.WithFromKey(), clientv3.WithPrefix()}} {
			text := panicText(func() { newOp(opts...) })
			assert.Contains(t, text, "WithPrefix()")
			assert.Contains(t, text, "WithFromKey()")
			assert.Contains(t, text, "one "+kind)
		}
	}
}

// TestOptionsRunOnce shows that an option is called once for each op.
func TestOptionsRunOnce(t *testing.T) {
	for kind, newOp := range opMakers {
		calls := 0
		newOp(func(*clientv3.Op) { calls++ })
		assert.Equal(t, 1, calls, kind)
	}
}

// TestCallersSliceIsNotAppendedTo passes a slice with spare capacity, which no op writes to.
func TestCallersSliceIsNotAppendedTo(t *testing.T) {
	for kind, newOp := range opMakers {
		opts := make([]clientv3.OpOption, 1, 8)
		opts[0] = clientv3.WithPrevKV()
		newOp(opts...)
		for _, opt := range opts[1:cap(opts)] {
			assert.Nil(t, opt, kind)
		}
	}
}

// TestOpReadsBackItsOptions reads each option back by its accessor, from an op of a kind that takes
// the option.
func TestOpReadsBackItsOptions(t *testing.T) {
	get := clientv3.OpGet("k", clientv3.WithRange("z"), clientv3.WithLimit(3), clientv3.WithRev(5),
		clientv3.WithMinModRev(6), clientv3.WithMaxModRev(7),
		clientv3.WithMinCreateRev(8), clientv3.WithMaxCreateRev(9),
		clientv3.WithSort(clientv3.SortByValue, clientv3.SortDescend))
	assert.Equal(t, []byte("k"), get.KeyBytes())
	assert.Equal(t, []byte("z"), get.RangeBytes())
	assert.Equal(t, [...]int64{3, 5, 6, 7, 8, 9},
		[...]int64{get.Limit(), get.Rev(), get.MinModRev(), get.MaxModRev(), get.MinCreateRev(),
			get.MaxCreateRev()})
	assert.Equal(t, []byte("v"), clientv3.OpPut("k", "v").ValueBytes())

	flags := []struct {
		name string
		read func(clientv3.Op) bool
		opt  clientv3.OpOption
		kind string
	}{
		{"IsSortSet", clientv3.Op.IsSortSet,
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend), "get"},
		{"IsSerializable", clientv3.Op.IsSerializable, clientv3.WithSerializable(), "get"},
		{"IsKeysOnly", clientv3.Op.IsKeysOnly, clientv3.WithKeysOnly(), "get"},
		{"IsCountOnly", clientv3.Op.IsCountOnly, clientv3.WithCountOnly(), "get"},
		{"IsOptsWithPrefix", clientv3.Op.IsOptsWithPrefix, clientv3.WithPrefix(), "get"},
		{"IsOptsWithFromKey", clientv3.Op.IsOptsWithFromKey, clientv3.WithFromKey(), "get"},
		{"IsPrevKV", clientv3.Op.IsPrevKV, clientv3.WithPrevKV(), "put"},
		{"IsFragment", clientv3.Op.IsFragment, clientv3.WithFragment(), "watch"},
		{"IsProgressNotify", clientv3.Op.IsProgressNotify, clientv3.WithProgressNotify(), "watch"},
		{"IsCreatedNotify", clientv3.Op.IsCreatedNotify, clientv3.WithCreatedNotify(), "watch"},
		{"IsFilterPut", clientv3.Op.IsFilterPut, clientv3.WithFilterPut(), "watch"},
		{"IsFilterDelete", clientv3.Op.IsFilterDelete, clientv3.WithFilterDelete(), "watch"},
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
	kinds := func(op clientv3.Op) [4]bool {
		return [4]bool{op.IsGet(), op.IsPut(), op.IsDelete(), op.IsTxn()}
	}
	assert.Equal(t, [4]bool{true, false, false, false}, kinds(clientv3.OpGet("k")))
	assert.Equal(t, [4]bool{false, true, false, false}, kinds(clientv3.OpPut("k", "v")))
	assert.Equal(t, [4]bool{false, false, true, false}, kinds(clientv3.OpDelete("k")))
	assert.Equal(t, [4]bool{false, false, false, true}, kinds(clientv3.OpTxn(nil, nil, nil)))
	assert.Equal(t, [4]bool{}, kinds(clientv3.OpWatch("k")))
	assert.Equal(t, [4]bool{}, kinds(*clientv3.NewOp()))
}

func TestOpWithBytes(t *testing.T) {
	op := clientv3.OpPut("k", "v")
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
	cmps := []clientv3.Cmp{clientv3.Compare(clientv3.Value("k"), "=", "v")}
	then, els := []clientv3.Op{clientv3.OpPut("k", "w")},
		[]clientv3.Op{clientv3.OpGet("k"), clientv3.OpDelete("k")}
	gotCmps, gotThen, gotElse := clientv3.OpTxn(cmps, then, els).Txn()
	assert.Equal(t, cmps, gotCmps)
	assert.Equal(t, then, gotThen)
	assert.Equal(t, els, gotElse)

	gotCmps, gotThen, gotElse = clientv3.OpGet("k").Txn()
	assert.Nil(t, gotCmps)
	assert.Nil(t, gotThen)
	assert.Nil(t, gotElse)
}

func TestSortOptionValidity(t *testing.T) {
	for target := clientv3.SortTarget(-1); target <= 5; target++ {
		for order := clientv3.SortOrder(-1); order <= 3; order++ {
			known := target >= 0 && target <= 4 && order >= 0 && order <= 2
			assert.Equal(t, known, clientv3.OpGet("k",
				clientv3.WithSort(target, order)).IsSortOptionValid(),
				"WithSort(%d, %d)", target, order)
		}
	}
	assert.True(t, clientv3.OpGet("k").IsSortOptionValid())
}

// TestOpWithoutOptionsStaysOnTheStack shows that making an op allocates the bytes of its key and
// value only.
func TestOpWithoutOptionsStaysOnTheStack(t *testing.T) {
	// These texts are too long for the buffers that the compiler reserves on the stack.
	key, val := strings.Repeat("k", 64), strings.Repeat("v", 64)
	allocs := testing.AllocsPerRun(100, func() {
		op := clientv3.OpPut(key, val)
		if !op.IsPut() {
			panic("not a put")
		}
	})
	require.LessOrEqual(t, allocs, 2.0)
}

func TestRangeOptions(t *testing.T) {
	tests := []struct {
		name     string
		key      string
		opts     []clientv3.OpOption
		wantKey  string
		wantEnd  string
		wantFlag string
	}{
		{"single key", "a", nil, "a", "", ""},
		{"range", "a", []clientv3.OpOption{clientv3.WithRange("c")}, "a", "c", ""},
		{"prefix", "ab", []clientv3.OpOption{clientv3.WithPrefix()}, "ab", "ac", "prefix"},
		{"prefix that ends in 0xff", "a\xff\xff", []clientv3.OpOption{clientv3.WithPrefix()},
			"a\xff\xff", "b",
			"prefix"},
		{"prefix of 0xff", "\xff\xff", []clientv3.OpOption{clientv3.WithPrefix()}, "\xff\xff",
			"\x00", "prefix"},
		{"empty prefix", "", []clientv3.OpOption{clientv3.WithPrefix()}, "\x00", "\x00", "prefix"},
		{"from key", "ab", []clientv3.OpOption{clientv3.WithFromKey()}, "ab", "\x00", "from"},
		{"from the empty key", "", []clientv3.OpOption{clientv3.WithFromKey()}, "\x00", "\x00",
			"from"},
		{"the last end wins", "a", []clientv3.OpOption{clientv3.WithPrefix(),
			clientv3.WithRange("q")}, "a", "q", "prefix"},
		{"empty key", "", nil, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, op := range []clientv3.Op{clientv3.OpGet(tt.key, tt.opts...),
				clientv3.OpDelete(tt.key, tt.opts...),
				clientv3.OpWatch(tt.key, tt.opts...)} {
				assert.Equal(t, tt.wantKey, string(op.KeyBytes()))
				assert.Equal(t, tt.wantEnd, string(op.RangeBytes()))
				assert.Equal(t, tt.wantFlag == "prefix", op.IsOptsWithPrefix())
				assert.Equal(t, tt.wantFlag == "from", op.IsOptsWithFromKey())
			}
		})
	}
}

func TestIsOptsWith(t *testing.T) {
	other := []clientv3.OpOption{clientv3.WithLimit(1), clientv3.WithRange("z"),
		clientv3.WithLease(3)}
	assert.False(t, clientv3.IsOptsWithPrefix(nil))
	assert.False(t, clientv3.IsOptsWithFromKey(nil))
	assert.False(t, clientv3.IsOptsWithPrefix(append(other, clientv3.WithFromKey())))
	assert.False(t, clientv3.IsOptsWithFromKey(append(other, clientv3.WithPrefix())))
	assert.True(t, clientv3.IsOptsWithPrefix(append(other, clientv3.WithPrefix())))
	assert.True(t, clientv3.IsOptsWithFromKey(append(other, clientv3.WithFromKey())))
	assert.True(t, clientv3.IsOptsWithPrefix(clientv3.WithLastRev()))
}

// FuzzGetPrefixRangeEnd shows that a key is in the range [prefix, end) if and only if it has the
// prefix.
func FuzzGetPrefixRangeEnd(f *testing.F) {
	for _, prefix := range []string{"", "a", "a\xff", "\xff", "\xff\xff", "\x00", "a\xff\x00",
		"\xfe\xff"} {
		for _, key := range []string{"", "a", "b", "\xff", "a\xff\xff\xff", "\x00"} {
			f.Add(prefix, key)
		}
	}
	f.Fuzz(func(t *testing.T, prefix, key string) {
		end := clientv3.GetPrefixRangeEnd(prefix)
		inRange := func(key string) bool { return key >= prefix && (end == "\x00" || key < end) }
		for _, k := range neighbours(prefix, key) {
			if strings.HasPrefix(k, prefix) != inRange(k) {
				t.Errorf("key %q: in [%q, %q) is %t", k, prefix, end, inRange(k))
			}
		}
	})
}

// neighbours returns keys on both sides of the prefix's bounds.
func neighbours(prefix, key string) []string {
	keys := []string{key, prefix, prefix + key, prefix + "\x00", prefix + "\xff",
		prefix + "\xff\xff" + key}
	for i := range prefix {
		keys = append(keys, prefix[:i], prefix[:i]+"\xff", prefix[:i]+key)
		if prefix[i] < 0xff {
			keys = append(keys, prefix[:i]+string([]byte{prefix[i] + 1}))
		}
		if prefix[i] > 0 {
			keys = append(keys, prefix[:i]+string([]byte{prefix[i] - 1})+"\xff")
		}
	}
	return keys
}
