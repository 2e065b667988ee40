package leasing

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestWritesOf(t *testing.T) {
	type ops = []clientv3.Op
	for name, tc := range map[string]struct {
		op     clientv3.Op
		keys   []string
		ranges []keyRange
	}{
		"get":    {op: clientv3.OpGet("a", clientv3.WithPrefix())},
		"put":    {op: clientv3.OpPut("a", "v"), keys: []string{"a"}},
		"delete": {op: clientv3.OpDelete("a"), keys: []string{"a"}},
		"delete range": {op: clientv3.OpDelete("a", clientv3.WithRange("c")),
			ranges: []keyRange{{"L/a", "L/c"}}},
		"delete prefix": {op: clientv3.OpDelete("a", clientv3.WithPrefix()),
			ranges: []keyRange{{"L/a", "L/b"}}},
		"delete from key": {op: clientv3.OpDelete("a", clientv3.WithFromKey()),
			ranges: []keyRange{{"L/a", "L0"}}},
		"delete everything": {op: clientv3.OpDelete("", clientv3.WithPrefix()),
			ranges: []keyRange{{"L/\x00", "L0"}, {"L/", "L0"}}},
		"delete nothing": {op: clientv3.OpDelete("c", clientv3.WithRange("a"))},
		"lease key": {op: clientv3.OpDelete("L/a"), keys: []string{"L/a"},
			ranges: []keyRange{{"L/a", "L/a\x00"}}},
		"some lease keys": {op: clientv3.OpDelete("L/a", clientv3.WithRange("M")),
			ranges: []keyRange{{"L/L/a", "L/M"}, {"L/a", "L0"}}},
		"before them": {op: clientv3.OpDelete("L", clientv3.WithRange("L/")),
			ranges: []keyRange{{"L/L", "L/L/"}}},
		"transaction": {
			op: clientv3.OpTxn(nil,
				ops{clientv3.OpPut("b", ""), clientv3.OpGet("z"),
					clientv3.OpTxn(nil, nil, ops{clientv3.OpPut("a", "")})},
				ops{clientv3.OpDelete("b"), clientv3.OpDelete("c", clientv3.WithPrefix())}),
			keys: []string{"a", "b"}, ranges: []keyRange{{"L/c", "L/d"}},
		},
		"reading transaction": {op: clientv3.OpTxn(nil, ops{clientv3.OpGet("z")}, nil)},
	} {
		w := writesOf("L/", tc.op)
		require.Equal(t, tc.keys, w.keys, name)
		require.Equal(t, tc.ranges, w.ranges, name)
		require.Equal(t, len(tc.keys)+len(tc.ranges) == 0, w.isEmpty(), name)
	}
}

// FuzzRanges checks the functions for key ranges. The function ofRange maps a range of keys to a
// range of lease keys: the first contains a key if and only if the second contains its lease key.
// The overlap of two ranges contains the keys that are in both.
func FuzzRanges(f *testing.F) {
	f.Add("L/", "a", "c", "b", "L/b")
	f.Add("\xff", "", "\x00", "\xff\xff", "\xff")
	f.Add("L/", "L", "\x00", "L/x", "M")
	f.Fuzz(func(t *testing.T, prefix, start, end, key, other string) {
		if prefix == "" || end == "" || key == "" || other == "" {
			return
		}
		r := keyRange{start, end}
		require.Equal(t, r.contains(key), leasePrefix(prefix).ofRange(r).contains(prefix+key),
			"the lease key of %q", key)
		all := leasePrefix(prefix).all()
		both := overlap(r, all)
		require.Equal(t, r.contains(other) && all.contains(other), both.contains(other), "%q",
			other)
		if r.contains(prefix + key) {
			var w writes
			w.addRange(both)
			require.NotEmpty(t, w.ranges, "%q is in both", prefix+key)
		}
	})
}

// TestLeaseKeysAreNeitherCachedNorWritten: a lease key marks that a client owns a key. A leasing KV
// sends gets of lease keys to the server, and refuses to write them.
func TestLeaseKeysAreNeitherCachedNorWritten(t *testing.T) {
	plain := plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	ctx := testContext(t)
	for _, value := range []string{"one", "two"} {
		put(t, plain, pfx+"k", value)
		for range 2 {
			resp, err := kv.Get(ctx, pfx+"k")
			require.NoError(t, err)
			require.Equal(t, value, string(resp.Kvs[0].Value))
			answer, err := kv.Txn(ctx).Then(clientv3.OpGet(pfx + "k")).Commit()
			require.NoError(t, err)
			require.Equal(t, value, string(answer.Responses[0].GetResponseRange().Kvs[0].Value))
		}
	}
	before, err := plain.Get(ctx, "", clientv3.WithPrefix())
	require.NoError(t, err)
	for name, op := range map[string]clientv3.Op{
		"put":            clientv3.OpPut(pfx+"k", "three"),
		"put of prefix":  clientv3.OpPut(pfx, ""),
		"delete":         clientv3.OpDelete(pfx + "k"),
		"delete of all":  clientv3.OpDelete(pfx, clientv3.WithPrefix()),
		"delete of some": clientv3.OpDelete(pfx+"a", clientv3.WithRange(pfx+"z")),
		"then": clientv3.OpTxn(nil,
			[]clientv3.Op{clientv3.OpPut("k", ""), clientv3.OpPut(pfx+"k", "")}, nil),
		"nested else": clientv3.OpTxn(nil, nil,
			[]clientv3.Op{clientv3.OpTxn(nil, nil, []clientv3.Op{clientv3.OpDelete(pfx + "k")})}),
	} {
		_, err := kv.Do(ctx, op)
		require.ErrorContains(t, err, fmt.Sprintf("%q", pfx), name)
	}
	after, err := plain.Get(ctx, "", clientv3.WithPrefix())
	require.NoError(t, err)
	require.Equal(t, before.Header.Revision, after.Header.Revision)
	require.Equal(t, int64(1), after.Count)
}
