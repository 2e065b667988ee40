package leasing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// dice makes random conditions and random OpGets, for the keys k0 to k3.
type dice struct{ *rand.Rand }

func (d dice) key() string { return fmt.Sprint("k", d.IntN(4)) }

func (d dice) condition(around int64) clientv3.Cmp {
	result := []string{"=", "!=", ">", "<"}[d.IntN(4)]
	rev := around - 6 + d.Int64N(8)
	switch key := d.key(); d.IntN(5) {
	case 0:
		return clientv3.Compare(clientv3.Value(key), result, []string{"", "a", "b", "c"}[d.IntN(4)])
	case 1:
		return clientv3.Compare(clientv3.Version(key), result, d.IntN(4))
	case 2:
		return clientv3.Compare(clientv3.CreateRevision(key), result, rev*d.Int64N(2))
	case 3:
		return clientv3.Compare(clientv3.ModRevision(key), result, rev*d.Int64N(2))
	default:
		return clientv3.Compare(clientv3.LeaseValue(key), result, d.IntN(2))
	}
}

func (d dice) get(around int64) clientv3.Op {
	opts := []clientv3.OpOption{
		clientv3.WithKeysOnly(), clientv3.WithCountOnly(), clientv3.WithSerializable(),
		clientv3.WithLimit(1),
		clientv3.WithMinModRev(around - 2), clientv3.WithMaxCreateRev(around - 2),
		clientv3.WithSort(clientv3.SortByValue, clientv3.SortDescend),
	}
	d.Shuffle(len(opts), func(i, j int) { opts[i], opts[j] = opts[j], opts[i] })
	return clientv3.OpGet(d.key(), opts[:d.IntN(3)]...)
}

func (d dice) times(n int, f func()) {
	for range d.IntN(n) {
		f()
	}
}

// TestTransactionsOnCachedKeysCostNoRequest: a transaction is answered from the cache, as the
// server would answer it, if its conditions and the branch that runs only read cached keys. The
// branch that does not run may write.
func TestTransactionsOnCachedKeysCostNoRequest(t *testing.T) {
	ctx, plain, cli := testContext(t), plainClient(t), newCounted(t)
	kv := newKV(t, cli.Client)
	for i := range 4 {
		owns(t, kv, fmt.Sprint("k", i)) // the last does not exist
	}
	put(t, kv, "k0", "a")
	put(t, kv, "k1", "")
	put(t, kv, "k1", "b")
	rev := put(t, kv, "k2", "c").Header.Revision
	d := dice{rand.New(rand.NewPCG(1, 2))}
	chosen := map[bool]int{}
	for range 500 {
		var cmps []clientv3.Cmp
		var thenOps, elseOps []clientv3.Op
		d.times(3, func() { cmps = append(cmps, d.condition(rev)) })
		d.times(4, func() { thenOps = append(thenOps, d.get(rev)) })
		d.times(4, func() { elseOps = append(elseOps, d.get(rev)) })
		want, err := plain.Txn(ctx).If(cmps...).Then(thenOps...).Else(elseOps...).Commit()
		require.NoError(t, err)
		chosen[want.Succeeded]++
		if write := []clientv3.Op{clientv3.OpPut("k0", "written")}; want.Succeeded {
			elseOps = append(elseOps, write...)
		} else {
			thenOps = append(thenOps, write...)
		}
		var got *clientv3.TxnResponse
		require.Zero(t, cli.count(func() {
			got, err = kv.Txn(ctx).If(cmps...).Then(thenOps...).Else(elseOps...).Commit()
		}))
		require.NoError(t, err)
		want.Header.MemberId = got.Header.MemberId
		require.True(t, proto.Equal((*pb.TxnResponse)(want), (*pb.TxnResponse)(got)), "%v\n%v",
			want, got)
	}
	require.Greater(t, min(chosen[true], chosen[false]), 50)
	require.Equal(t, "a", value(t, kv, "k0"))
}

// TestTransactionsThatTheServerAnswers: a transaction is sent to the server if it writes, is
// nested, needs a range, an old revision or a key that is not cached, or has an unknown condition.
func TestTransactionsThatTheServerAnswers(t *testing.T) {
	plain, cli := plainClient(t), newCounted(t)
	kv := newKV(t, cli.Client)
	put(t, kv, "k", "v")
	owns(t, kv, "k")
	is := clientv3.Compare(clientv3.Value("k"), "=", "v")
	get := clientv3.OpGet("k")
	unknown := clientv3.FromCompare(&pb.Compare{Key: []byte("k"), Result: 77})
	for name, op := range map[string]clientv3.Op{
		"condition on another key": clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.Version("other"), "=", 0)}, []clientv3.Op{get},
			nil),
		"condition on a range": clientv3.OpTxn([]clientv3.Cmp{is.WithPrefix()},
			[]clientv3.Op{get}, nil),
		"unknown condition": clientv3.OpTxn([]clientv3.Cmp{unknown}, []clientv3.Op{get},
			nil),
		"another key": clientv3.OpTxn([]clientv3.Cmp{is},
			[]clientv3.Op{get, clientv3.OpGet("other")}, nil),
		"range": clientv3.OpTxn([]clientv3.Cmp{is},
			[]clientv3.Op{clientv3.OpGet("k", clientv3.WithPrefix())}, nil),
		"past": clientv3.OpTxn([]clientv3.Cmp{is},
			[]clientv3.Op{clientv3.OpGet("k", clientv3.WithRev(1))}, nil),
		"transaction in it": clientv3.OpTxn([]clientv3.Cmp{is},
			[]clientv3.Op{clientv3.OpTxn(nil, []clientv3.Op{get}, nil)}, nil),
		"write": clientv3.OpTxn([]clientv3.Cmp{is},
			[]clientv3.Op{clientv3.OpPut("k", "v")}, nil),
	} {
		require.NotZero(t, cli.count(func() { _, _ = kv.Do(testContext(t), op) }), name)
		owns(t, kv, "k")
	}
	put(t, plain, pfx+"k", revokeValue)
	require.Eventually(t, func() bool { return !kv.isCached("k") }, eventually, tick)
	require.NotZero(t, cli.count(func() {
		_, _ = kv.Do(testContext(t), clientv3.OpTxn([]clientv3.Cmp{is}, nil, nil))
	}), "released")
}

// TestUnsoundTransactionsAreRefused: a transaction that is not valid returns the server's error,
// even if the cache could answer it because the branch that is not valid would not run.
func TestUnsoundTransactionsAreRefused(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	put(t, plain, "k", "v")
	owns(t, kv, "k")
	is, isNot := clientv3.Compare(clientv3.Value("k"), "=", "v"),
		clientv3.Compare(clientv3.Value("k"), "!=", "v")
	get, twice := []clientv3.Op{clientv3.OpGet("k")},
		[]clientv3.Op{clientv3.OpPut("a", "v"), clientv3.OpPut("a", "v")}
	for name, unsound := range map[string][]clientv3.Op{
		"put twice":        twice,
		"put twice within": {clientv3.OpTxn(nil, twice, nil)},
		"no key":           {clientv3.OpPut("", "v")},
		"no key compared": {clientv3.OpTxn([]clientv3.Cmp{
			clientv3.Compare(clientv3.Version(""), "=", 0)}, nil, nil)},
		"no such order": {clientv3.OpGet("a", clientv3.WithSort(clientv3.SortByKey, 77))},
	} {
		for _, op := range []clientv3.Op{
			clientv3.OpTxn([]clientv3.Cmp{is}, get, unsound),
			clientv3.OpTxn([]clientv3.Cmp{isNot}, unsound, get),
		} {
			_, want := plain.Do(ctx, op)
			require.Error(t, want, name)
			_, err := kv.Do(ctx, op)
			require.Equal(t, want, err, name)
		}
	}
	require.True(t, kv.isCached("k"))
}

// TestCacheAnswersTransactionsOfACertainEpochOnly: the cache answers transactions only during an
// epoch, that is while the client has a session, and only if the session's lease cannot have
// expired. It does not answer while this client writes the key.
func TestCacheAnswersTransactionsOfACertainEpochOnly(t *testing.T) {
	op := clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value("k"), "=", "v")},
		[]clientv3.Op{clientv3.OpGet("k")}, nil)
	c := newEpoch(t)
	ownIn(t, c, "k", "v", 5)
	require.Nil(t, c.txn(op), "no revision is known")
	c.latest.saw(&pb.ResponseHeader{Revision: 7, MemberId: 3})
	resp := c.txn(op)
	require.True(t, resp.Succeeded)
	require.True(t, proto.Equal(&pb.ResponseHeader{Revision: 7, MemberId: 3}, resp.Header), "%v",
		resp.Header)

	own, _ := c.beginWrite(writes{keys: []string{"k"}})
	require.Nil(t, c.txn(op))
	c.endWrite(own, []*cachedKey{cachedValue("k", "w", 9)})
	resp = c.txn(op)
	require.False(t, resp.Succeeded)
	require.EqualValues(t, 9, resp.Header.Revision)

	c.endEpoch()
	require.Nil(t, c.txn(op))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.startEpoch(&epoch{certainUntil: time.Now(), keepAliveEnd: &clientv3.KeepAliveEnd{}, ctx: ctx})
	ownIn(t, c, "k", "v", 10)
	require.Nil(t, c.txn(op), "the lease may have expired")
}

// TestCachedTransactionWithoutAServer: the cache answers a transaction while the server is stopped.
func TestCachedTransactionWithoutAServer(t *testing.T) {
	fake := etcdfake.New(t)
	kv := newKV(t, newClient(t, fake.Listen()))
	owns(t, kv, "k")
	fake.Member(0).Stop()
	resp, err := kv.Txn(testContext(t)).If(clientv3.Compare(clientv3.Version("k"), "=", 0)).Then(
		clientv3.OpGet("k")).Else(clientv3.OpPut("k", "v")).Commit()
	require.NoError(t, err)
	require.True(t, resp.Succeeded)
}
