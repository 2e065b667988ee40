package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomget"
)

// fillRandomly writes random keys. It returns a Maker, which makes random reads of these keys.
func fillRandomly(t *testing.T, client *clientv3.Client, prefix string) *randomget.Maker {
	t.Helper()
	lease, err := client.Grant(t.Context(), 36000)
	require.NoError(t, err)
	rnd := rand.New(rand.NewPCG(7, 8))
	return randomget.Fill(rnd, prefix, func(op clientv3.Op) int64 {
		resp, err := client.Do(t.Context(), op)
		require.NoError(t, err)
		return writeRevision(resp)
	}, lease.ID)
}

// writeRevision returns the revision of the answer to a write; 0 for a get.
func writeRevision(resp clientv3.OpResponse) int64 { return writeHeader(resp).GetRevision() }

// TestGetsAreAnsweredAsByTheServer compares answers to reads of random options with the server's,
// and counts the reads that memory has answered.
func TestGetsAreAnsweredAsByTheServer(t *testing.T) {
	for name, row := range map[string]struct {
		prefix string
		opts   []Option
		least  int // at least so many reads must be answered from memory
	}{
		"a prefix":   {"a/", nil, 1100},
		"all keys":   {"", nil, 1400},
		"a range":    {"", []Option{WithRange("a/k10", "a/k40")}, 300},
		"keys only":  {"a/", []Option{WithKeysOnly()}, 300},
		"no history": {"a/", []Option{WithHistory(0)}, 700},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := etcdfake.New(t)
			client := cluster.Client()
			c := synced(t, client, row.prefix, row.opts...)
			reads := fillRandomly(t, client, "a/")
			kv := c.KV()
			fromMemory := 0
			for n := range 1500 {
				read := reads.Next()
				asked := c.Status().Questions
				before := cluster.Calls("Range")
				got, err := kv.Get(t.Context(), read.Key, read.Opts...)
				require.NoError(t, err, read.Text)
				passed := cluster.Calls("Range")-before > int(c.Status().Questions-asked)
				want, err := client.Get(t.Context(), read.Key, read.Opts...)
				require.NoError(t, err)
				if !passed {
					fromMemory++
				}
				require.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)),
					"read %d, %s\nwant %v\ngot  %v", n, read.Text, want, got)
				compareStream(t, kv, read, want)
			}
			require.GreaterOrEqual(t, fromMemory, row.least)
			t.Logf("%d of 1500 from memory", fromMemory)
		})
	}
}

func compareStream(
	t *testing.T, kv clientv3.KV, read randomget.Get, want *clientv3.GetResponse,
) {
	t.Helper()
	stream, err := kv.GetStream(t.Context(), read.Key, read.Opts...)
	require.NoError(t, err)
	got, err := clientv3.GetStreamToGetResponse(stream)
	require.NoError(t, err)
	require.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)),
		"stream of %s\nwant %v\ngot  %v", read.Text, want, got)
}

// TestReadOnlyTxnsAreAnsweredAsByTheServer compares the cache's answers to random transactions with
// the server's.
func TestReadOnlyTxnsAreAnsweredAsByTheServer(t *testing.T) {
	cluster := etcdfake.New(t)
	client := cluster.Client()
	c := synced(t, client, "")
	reads := fillRandomly(t, client, "a/")
	rnd, kv := reads.Rand, c.KV()
	before := cluster.Calls("Txn")
	for n := range 1000 {
		var cmps []clientv3.Cmp
		for range rnd.IntN(3) {
			cmps = append(cmps, randomCmp(reads))
		}
		var ops [2][]clientv3.Op
		for i := range ops {
			for range rnd.IntN(3) {
				read := reads.Next()
				ops[i] = append(ops[i], clientv3.OpGet(read.Key, read.Opts...))
			}
		}
		want, err := client.Txn(t.Context()).If(cmps...).Then(ops[0]...).Else(ops[1]...).Commit()
		require.NoError(t, err)
		got, err := kv.Txn(t.Context()).If(cmps...).Then(ops[0]...).Else(ops[1]...).Commit()
		require.NoError(t, err)
		require.True(t, proto.Equal((*pb.TxnResponse)(want), (*pb.TxnResponse)(got)),
			"transaction %d:\nwant %v\ngot  %v", n, want, got)
		resp, err := kv.Do(t.Context(), clientv3.OpTxn(cmps, ops[0], ops[1]))
		require.NoError(t, err)
		require.True(t, proto.Equal((*pb.TxnResponse)(want), (*pb.TxnResponse)(resp.Txn())))
	}
	require.Equal(t, 1000, cluster.Calls("Txn")-before, "those of the client only")
}

func randomCmp(reads *randomget.Maker) clientv3.Cmp {
	read, rnd := reads.Next(), reads.Rand
	signs := []string{"=", "!=", "<", ">"}
	cmp := []clientv3.Cmp{clientv3.Version(read.Key), clientv3.CreateRevision(read.Key),
		clientv3.ModRevision(read.Key), clientv3.LeaseValue(read.Key)}[rnd.IntN(4)]
	operand := any(rnd.Int64N(5))
	if rnd.IntN(4) == 0 {
		cmp, operand = clientv3.Value(read.Key), fmt.Sprint(rnd.IntN(8))
	}
	cmp = clientv3.Compare(cmp, signs[rnd.IntN(4)], operand)
	if end := clientv3.OpGet(read.Key, read.Opts...).RangeBytes(); len(end) > 0 {
		cmp = cmp.WithRange(string(end))
	}
	return cmp
}

// TestKVSeesItsOwnWrites shows that a serializable read from memory has the last write of the same
// KV, although the watch of the cache lags.
func TestKVSeesItsOwnWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		cluster.Member(0).Lag(50 * time.Millisecond)
		kv, ctx := c.KV(), t.Context()
		read := func() string {
			resp, err := kv.Get(ctx, "a/k", clientv3.WithSerializable())
			require.NoError(t, err)
			if len(resp.Kvs) == 0 {
				return ""
			}
			return string(resp.Kvs[0].Value)
		}
		mustPut(t, kv, "a/k", "1")
		require.Equal(t, "1", read())
		_, err := kv.Do(ctx, clientv3.OpPut("a/k", "2"))
		require.NoError(t, err)
		require.Equal(t, "2", read())
		_, err = kv.Txn(ctx).Then(clientv3.OpPut("a/k", "3")).Commit()
		require.NoError(t, err)
		require.Equal(t, "3", read())
		_, err = kv.Delete(ctx, "a/k")
		require.NoError(t, err)
		require.Empty(t, read())
		require.Zero(t, c.Status().Questions)
	})
}

// TestKVPassesOnWhatMemoryHasNot makes reads that only the server can answer. The KV of the cache
// passes them on, and returns the server's answers and errors.
func TestKVPassesOnWhatMemoryHasNot(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, _ *Cache) {
		client := cluster.Client()
		first := mustPut(t, client, "a/k", "1")
		mustPut(t, client, "b/k", "2")
		c := synced(t, client, "a/")
		kv, ctx := c.KV(), t.Context()
		resp, err := kv.Get(ctx, "b/k")
		require.NoError(t, err)
		require.Equal(t, "2", string(resp.Kvs[0].Value))
		resp, err = kv.Get(ctx, "a/k", clientv3.WithRev(first))
		require.NoError(t, err)
		require.Equal(t, "1", string(resp.Kvs[0].Value))
		_, err = kv.Get(ctx, "a/k", clientv3.WithRev(1000))
		require.Equal(t, rpctypes.ErrFutureRev, err)
		cluster.Compact(cluster.Revision())
		_, err = kv.Get(ctx, "a/k", clientv3.WithRev(first))
		require.Equal(t, rpctypes.ErrCompacted, err)
		_, err = kv.Get(ctx, "")
		require.Equal(t, rpctypes.ErrEmptyKey, err)
		runs := 0
		counting := func(*clientv3.Op) { runs++ }
		_, err = kv.Get(ctx, "b/k", counting)
		require.NoError(t, err)
		require.Equal(t, 1, runs, "an option runs once a call")
		_, err = kv.GetStream(ctx, "b/k", counting)
		require.NoError(t, err)
		require.Equal(t, 2, runs)
	})
}

// TestPastRevisionsOutliveACompaction shows that a KV can read at a revision that the server has
// compacted, because the cache keeps the last changes in its history.
func TestPastRevisionsOutliveACompaction(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		kv := c.KV()
		first := mustPut(t, kv, "a/k", "1")
		mustPut(t, kv, "a/k", "2")
		cluster.Compact(cluster.Revision())
		resp, err := kv.Get(t.Context(), "a/k", clientv3.WithRev(first))
		require.NoError(t, err)
		require.Equal(t, "1", string(resp.Kvs[0].Value))
	})
}

// TestReadsOfAKVEndWithTheirContext shows that reads return the error of their context itself, as
// those of a client do.
func TestReadsOfAKVEndWithTheirContext(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Delay(time.Hour)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.KV().Get(ctx, "a/k")
		require.Equal(t, context.DeadlineExceeded, err)
		_, err = c.KV().GetStream(ctx, "a/k")
		require.Equal(t, context.DeadlineExceeded, err)
		_, err = c.KV().Txn(ctx).Then(clientv3.OpGet("a/k")).Commit()
		require.Equal(t, context.DeadlineExceeded, err)
		require.NoError(t, c.Close())
		_, err = c.KV().Get(t.Context(), "a/k")
		require.ErrorIs(t, err, ErrClosed)
	})
}
