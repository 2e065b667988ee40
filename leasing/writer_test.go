package leasing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// kindsOfWrite are all ways to write a key.
var kindsOfWrite = map[string]func(ctx context.Context, kv clientv3.KV, key string) error{
	"put": func(ctx context.Context, kv clientv3.KV, key string) error {
		_, err := kv.Put(ctx, key, "new")
		return err
	},
	"delete": func(ctx context.Context, kv clientv3.KV, key string) error {
		_, err := kv.Delete(ctx, key)
		return err
	},
	"delete of a range": func(ctx context.Context, kv clientv3.KV, key string) error {
		_, err := kv.Delete(ctx, key, clientv3.WithPrefix())
		return err
	},
	"delete of everything": func(ctx context.Context, kv clientv3.KV, _ string) error {
		_, err := kv.Delete(ctx, "", clientv3.WithPrefix())
		return err
	},
	"do": func(ctx context.Context, kv clientv3.KV, key string) error {
		_, err := kv.Do(ctx, clientv3.OpPut(key, "new"))
		return err
	},
	"transaction": func(ctx context.Context, kv clientv3.KV, key string) error {
		_, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", "old")).Then(
			clientv3.OpPut(key, "new")).Commit()
		return err
	},
	"transaction, else": func(ctx context.Context, kv clientv3.KV, key string) error {
		_, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "!=", "old")).Else(
			clientv3.OpDelete(key)).Commit()
		return err
	},
	"transaction, nested range": func(ctx context.Context, kv clientv3.KV, key string) error {
		inner := clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("elsewhere", "new"),
			clientv3.OpDelete(key, clientv3.WithPrefix())}, nil)
		_, err := kv.Do(ctx, clientv3.OpTxn(nil, []clientv3.Op{inner}, nil))
		return err
	},
}

// TestWritersAreGivenTheKey: before a client's write is applied, the owner of the key (the client
// that caches it) releases the key. The owner's next read shows the write.
func TestWritersAreGivenTheKey(t *testing.T) {
	for name, write := range kindsOfWrite {
		t.Run(name, func(t *testing.T) {
			ctx, plain := testContext(t), plainClient(t)
			owner, writer := newKV(t, newClient(t, shared.Endpoints()...)),
				newKV(t, newClient(t, shared.Endpoints()...))
			put(t, plain, "k/1", "old")
			owns(t, owner, "k/1")
			require.NotNil(t, leaseKeyOf(t, plain, "k/1"))
			owns(t, writer, "k/2") // the writer's own key does not block its write

			require.NoError(t, write(ctx, writer, "k/1"))
			want, err := plain.Get(ctx, "k/1")
			require.NoError(t, err)
			if len(want.Kvs) > 0 {
				require.Equal(t, "new", string(want.Kvs[0].Value))
			}
			require.False(t, owner.isCached("k/1"))
			require.Nil(t, leaseKeyOf(t, plain, "k/1"))
			got, err := owner.Get(ctx, "k/1")
			require.NoError(t, err)
			require.Equal(t, want.Kvs, got.Kvs)
			got, err = writer.Get(ctx, "k/1")
			require.NoError(t, err)
			require.Equal(t, want.Kvs, got.Kvs)
		})
	}
}

// kindsOfOp are all kinds of operations on a key, both valid and invalid ones.
var kindsOfOp = map[string]func(key string) clientv3.Op{
	"put": func(k string) clientv3.Op {
		return clientv3.OpPut(k, "v", clientv3.WithPrevKV())
	},
	"put nothing": func(k string) clientv3.Op {
		return clientv3.OpPut(k, "", clientv3.WithIgnoreValue())
	},
	"put no key": func(string) clientv3.Op { return clientv3.OpPut("", "v") },
	"put no lease": func(k string) clientv3.Op {
		return clientv3.OpPut(k, "v", clientv3.WithLease(12345))
	},
	"delete": func(k string) clientv3.Op {
		return clientv3.OpDelete(k, clientv3.WithPrevKV())
	},
	"delete nothing": func(string) clientv3.Op { return clientv3.OpDelete("nothing") },
	"delete range": func(k string) clientv3.Op {
		return clientv3.OpDelete(k, clientv3.WithRange(k+"~"), clientv3.WithPrevKV())
	},
	"delete no range": func(k string) clientv3.Op {
		return clientv3.OpDelete(k, clientv3.WithRange("a"))
	},
	"txn": func(k string) clientv3.Op {
		return clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(k, "x"), clientv3.OpGet(k),
			clientv3.OpDelete("nothing")}, nil)
	},
	"txn not done": func(k string) clientv3.Op {
		return clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Version(k), ">", 99)},
			[]clientv3.Op{clientv3.OpPut(k, "x")}, nil)
	},
	"txn twice": func(k string) clientv3.Op {
		return clientv3.OpTxn(nil,
			[]clientv3.Op{clientv3.OpPut(k, "x"), clientv3.OpPut(k, "y")}, nil)
	},
	"txn reads": func(k string) clientv3.Op {
		return clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet(k)}, nil)
	},
	"txn of nothing": func(string) clientv3.Op { return clientv3.OpTxn(nil, nil, nil) },
	"watch":          func(k string) clientv3.Op { return clientv3.OpWatch(k) },
	"txn of a watch": func(k string) clientv3.Op {
		return clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(k, "x"), clientv3.OpWatch(k)}, nil)
	},
}

// TestWritesAnswerAsPlainOnesDo compares the responses and errors of a leasing KV with those of a
// plain client, for a key that the KV owns (caches), and for one that it does not own.
func TestWritesAnswerAsPlainOnesDo(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	for name, op := range kindsOfOp {
		for _, owned := range []bool{false, true} {
			key := fmt.Sprintf("k/%s/%t", name, owned)
			put(t, plain, key, "before")
			want, wantErr := plain.Do(ctx, op(key))
			put(t, plain, key, "before")
			if owned {
				owns(t, kv, key)
			}
			got, gotErr := kv.Do(ctx, op(key))
			require.Equal(t, wantErr == nil, gotErr == nil, "%s: %v", name, gotErr)
			if known := (rpctypes.EtcdError{}); errors.As(wantErr, &known) {
				require.Equal(t, wantErr, gotErr, name)
			}
			require.Equal(t, outline(want), outline(got), name)
			value, err := plain.Get(ctx, key)
			require.NoError(t, err)
			cached, err := kv.Get(ctx, key)
			require.NoError(t, err)
			require.Equal(t, value.Kvs, cached.Kvs, name)
		}
	}
}

// outline is a response without its revisions.
func outline(resp clientv3.OpResponse) string {
	values := func(kvs ...*mvccpb.KeyValue) string {
		var s []string
		for _, kv := range kvs {
			s = append(s, string(kv.GetKey())+"="+string(kv.GetValue()))
		}
		return strings.Join(s, " ")
	}
	switch {
	case resp.Put() != nil:
		return fmt.Sprint("put ", values(resp.Put().PrevKv), resp.Put().Header.ClusterId)
	case resp.Del() != nil:
		return fmt.Sprint("delete ", resp.Del().Deleted, values(resp.Del().PrevKvs...),
			resp.Del().Header.ClusterId)
	case resp.Txn() != nil:
		s := fmt.Sprint("txn ", resp.Txn().Succeeded, resp.Txn().Header.ClusterId)
		for _, part := range resp.Txn().Responses {
			s += fmt.Sprintf(" %T %s", part.Response, values(part.GetResponseRange().GetKvs()...))
		}
		return s
	}
	return ""
}

// TestTransactionsPanicAsPlainOnesDo: calls of a transaction in the wrong order panic.
func TestTransactionsPanicAsPlainOnesDo(t *testing.T) {
	ctx := testContext(t)
	plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	require.Panics(t, func() { kv.Txn(ctx).Then().If() })
	require.Panics(t, func() { kv.Txn(ctx).Else().Then() })
	require.Panics(t, func() { kv.Txn(ctx).If().If() })
}

// TestOwnWritesStayInMemory: after many concurrent writes, the cache has the value of the last one.
func TestOwnWritesStayInMemory(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	owns(t, kv, "k")
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for j := range 20 {
				_, err := kv.Put(ctx, "k", fmt.Sprint(i, j))
				require.NoError(t, err)
				_, err = kv.Get(ctx, "k")
				require.NoError(t, err)
			}
		})
	}
	writers.Wait()
	require.True(t, kv.isCached("k"))
	want, err := plain.Get(ctx, "k")
	require.NoError(t, err)
	got, err := kv.Get(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, want.Kvs, got.Kvs)
	require.EqualValues(t, 160, got.Kvs[0].Version)
}

// TestManyKeysInOneTransaction: if a transaction writes keys that the client caches, it also reads
// at most maxReadBack of them, so that these stay cached. The client releases (stops caching) the
// other keys.
func TestManyKeysInOneTransaction(t *testing.T) {
	ctx, plain := testContext(t), plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	var ops []clientv3.Op
	for i := range maxReadBack + 10 {
		key := fmt.Sprintf("many/%03d", i)
		owns(t, kv, key)
		ops = append(ops, clientv3.OpPut(key, "v"))
	}
	_, err := kv.Txn(ctx).Then(ops...).Commit()
	require.NoError(t, err)
	cached := 0
	for _, op := range ops {
		if key := string(op.KeyBytes()); kv.isCached(key) {
			cached++
		}
		require.Equal(t, "v", value(t, kv, string(op.KeyBytes())))
	}
	require.Equal(t, maxReadBack, cached)

	// Another client can delete a range in which this client owns many keys.
	other := newKV(t, newClient(t, shared.Endpoints()...))
	resp, err := other.Delete(ctx, "many/", clientv3.WithPrefix())
	require.NoError(t, err)
	require.EqualValues(t, len(ops), resp.Deleted)
	left, err := plain.Get(ctx, pfx, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	require.Zero(t, left.Count)
}

// TestLargestTransaction: a leasing KV adds a condition for each written key to a transaction, and
// the server counts these conditions too. So a transaction can write only half as many keys as the
// server's limit.
func TestLargestTransaction(t *testing.T) {
	plainClient(t)
	kv := newKV(t, newClient(t, shared.Endpoints()...))
	var ops []clientv3.Op
	for i := range 65 {
		ops = append(ops, clientv3.OpPut(fmt.Sprint("large/", i), "v"))
	}
	_, err := kv.Txn(testContext(t)).Then(ops[:64]...).Commit()
	require.NoError(t, err)
	_, err = kv.Txn(testContext(t)).Then(ops...).Commit()
	require.ErrorIs(t, err, rpctypes.ErrTooManyOps)
}

// TestWritersWaitNoLongerThanTheirContext: a write asks the owner of its key once to release the
// key. If the owner does not react, the write returns when its context ends.
func TestWritersWaitNoLongerThanTheirContext(t *testing.T) {
	plain, cli := plainClient(t), newCounted(t)
	kv := newKV(t, cli.Client)
	put(t, plain, pfx+"k", "") // an owner that does not react
	for name, write := range map[string]func(ctx context.Context) error{
		"put": func(ctx context.Context) error { _, err := kv.Put(ctx, "k", "v"); return err },
		"delete of a range": func(ctx context.Context) error {
			_, err := kv.Delete(ctx, "k", clientv3.WithPrefix())
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		took := testclient.Stopwatch(t)
		requests := cli.count(func() {
			require.ErrorIs(t, write(ctx), context.DeadlineExceeded, name)
		})
		cancel()
		require.Less(t, took(), eventually)
		require.LessOrEqual(t, requests, 2, name)
	}
	kvs, err := plain.Get(testContext(t), pfx+"k")
	require.NoError(t, err)
	require.Equal(t, revokeValue, string(kvs.Kvs[0].Value))
	requests := cli.count(func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := kv.Put(ctx, "k", "v")
		require.ErrorIs(t, err, context.Canceled)
	})
	require.Zero(t, requests)
}
