package clientv3

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRangeOptions(t *testing.T) {
	tests := []struct {
		name     string
		key      string
		opts     []OpOption
		wantKey  string
		wantEnd  string
		wantFlag string
	}{
		{"single key", "a", nil, "a", "", ""},
		{"range", "a", []OpOption{WithRange("c")}, "a", "c", ""},
		{"prefix", "ab", []OpOption{WithPrefix()}, "ab", "ac", "prefix"},
		{"prefix that ends in 0xff", "a\xff\xff", []OpOption{WithPrefix()}, "a\xff\xff", "b",
			"prefix"},
		{"prefix of 0xff", "\xff\xff", []OpOption{WithPrefix()}, "\xff\xff", "\x00", "prefix"},
		{"empty prefix", "", []OpOption{WithPrefix()}, "\x00", "\x00", "prefix"},
		{"from key", "ab", []OpOption{WithFromKey()}, "ab", "\x00", "from"},
		{"from the empty key", "", []OpOption{WithFromKey()}, "\x00", "\x00", "from"},
		{"the last end wins", "a", []OpOption{WithPrefix(), WithRange("q")}, "a", "q", "prefix"},
		{"empty key", "", nil, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, op := range []Op{OpGet(tt.key, tt.opts...), OpDelete(tt.key, tt.opts...),
				OpWatch(tt.key, tt.opts...)} {
				assert.Equal(t, tt.wantKey, string(op.KeyBytes()))
				assert.Equal(t, tt.wantEnd, string(op.RangeBytes()))
				assert.Equal(t, tt.wantFlag == "prefix", op.IsOptsWithPrefix())
				assert.Equal(t, tt.wantFlag == "from", op.IsOptsWithFromKey())
			}
		})
	}
}

func TestIsOptsWith(t *testing.T) {
	other := []OpOption{WithLimit(1), WithRange("z"), WithLease(3)}
	assert.False(t, IsOptsWithPrefix(nil))
	assert.False(t, IsOptsWithFromKey(nil))
	assert.False(t, IsOptsWithPrefix(append(other, WithFromKey())))
	assert.False(t, IsOptsWithFromKey(append(other, WithPrefix())))
	assert.True(t, IsOptsWithPrefix(append(other, WithPrefix())))
	assert.True(t, IsOptsWithFromKey(append(other, WithFromKey())))
	assert.True(t, IsOptsWithPrefix(WithLastRev()))
}

func TestTopOptions(t *testing.T) {
	tests := []struct {
		name string
		opts func() []OpOption
		want SortOption
	}{
		{"first key", WithFirstKey, SortOption{SortByKey, SortNone}},
		{"last key", WithLastKey, SortOption{SortByKey, SortDescend}},
		{"first create", WithFirstCreate, SortOption{SortByCreateRevision, SortAscend}},
		{"last create", WithLastCreate, SortOption{SortByCreateRevision, SortDescend}},
		{"first rev", WithFirstRev, SortOption{SortByModRevision, SortAscend}},
		{"last rev", WithLastRev, SortOption{SortByModRevision, SortDescend}},
	}
	for _, tt := range tests {
		op := OpGet("dir/", tt.opts()...)
		assert.Equal(t, tt.want, op.sort, tt.name)
		assert.Equal(t, int64(1), op.Limit(), tt.name)
		assert.Equal(t, "dir0", string(op.RangeBytes()), tt.name)

		one, two := append(tt.opts(), WithRev(1)), append(tt.opts(), WithRev(2))
		assert.Equal(t, int64(1), OpGet("dir/", one...).Rev(), "two results share memory")
		assert.Equal(t, int64(2), OpGet("dir/", two...).Rev())
	}
}

func TestWatchBufferDefaults(t *testing.T) {
	tests := []struct {
		opts          []OpOption
		bytes, number int
	}{
		{nil, 8 << 20, 4096},
		{[]OpOption{WithWatchBuffer(0, 0)}, 8 << 20, 4096},
		{[]OpOption{WithWatchBuffer(-1, 16)}, 8 << 20, 16},
		{[]OpOption{WithWatchBuffer(1<<10, -1)}, 1 << 10, 4096},
		{[]OpOption{WithWatchBuffer(1<<10, 16)}, 1 << 10, 16},
	}
	for _, tt := range tests {
		op := OpWatch("k", tt.opts...)
		bytes, number := op.watchBuffer()
		assert.Equal(t, [2]int{tt.bytes, tt.number}, [2]int{bytes, number})
	}
}

// FuzzGetPrefixRangeEnd compares the range [prefix, end) with what a prefix means.
func FuzzGetPrefixRangeEnd(f *testing.F) {
	for _, prefix := range []string{"", "a", "a\xff", "\xff", "\xff\xff", "\x00", "a\xff\x00",
		"\xfe\xff"} {
		for _, key := range []string{"", "a", "b", "\xff", "a\xff\xff\xff", "\x00"} {
			f.Add(prefix, key)
		}
	}
	f.Fuzz(func(t *testing.T, prefix, key string) {
		end := GetPrefixRangeEnd(prefix)
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
