package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// increment adds one to the number at the key a/n.
func increment(tx *Tx) error {
	n := 0
	if kv, ok := tx.Get("a/n"); ok {
		n, _ = strconv.Atoi(string(kv.Value))
	}
	tx.Put("a/n", strconv.Itoa(n+1))
	return nil
}

// TestUpdatesOfOneKeyLoseNothing has writers of two caches increment one number. No increment is
// lost.
func TestUpdatesOfOneKeyLoseNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, a *Cache) {
		b := synced(t, cluster.Client(), "a/")
		cluster.On("Txn", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Delay(time.Millisecond)
		})
		reads := cluster.Calls("Range")
		const writers, each = 8, 50
		var (
			running  sync.WaitGroup
			attempts int
			mu       sync.Mutex
		)
		for n := range writers {
			c := []*Cache{a, b}[n%2]
			running.Go(func() {
				for range each {
					rev, err := c.Update(t.Context(), func(tx *Tx) error {
						mu.Lock()
						attempts++
						mu.Unlock()
						return increment(tx)
					})
					require.NoError(t, err)
					require.GreaterOrEqual(t, c.Snapshot().Revision(), rev)
				}
			})
		}
		running.Wait()
		require.Equal(t, strconv.Itoa(writers*each), cluster.Dump("a/")["a/n"])
		require.Equal(t, attempts, cluster.Calls("Txn"), "one request an attempt")
		require.Equal(t, reads, cluster.Calls("Range"), "reads cost no request")
	})
}

// TestWriteSkewIsCaught has two doctors go off duty at once. Each of the two Updates checks that
// the other doctor is on duty. One of them must fail.
func TestWriteSkewIsCaught(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, a *Cache) {
		b := synced(t, cluster.Client(), "a/")
		refused := errors.New("the other one is off duty")
		for n := range 50 {
			mustPut(t, a.client, "a/alice", "on")
			rev := mustPut(t, a.client, "a/bob", "on")
			var both sync.WaitGroup
			errs := make([]error, 2)
			for i, c := range []*Cache{a, b} {
				_, err := c.AtLeast(t.Context(), rev)
				require.NoError(t, err)
				own, other := []string{"a/alice", "a/bob"}[i], []string{"a/bob", "a/alice"}[i]
				both.Go(func() {
					_, errs[i] = c.Update(t.Context(), func(tx *Tx) error {
						if kv, _ := tx.Get(other); string(kv.GetValue()) != "on" {
							return refused
						}
						tx.Put(own, "off")
						return nil
					})
				})
			}
			both.Wait()
			require.Contains(t, slices.Collect(maps.Values(cluster.Dump("a/"))), "on", "round %d",
				n)
			joined := errors.Join(errs...).(interface{ Unwrap() []error })
			require.Equal(t, refused, joined.Unwrap()[0])
		}
	})
}

// TestPhantomsAreCaught runs several writers. Each one counts the keys of a range, and adds a key
// if there are fewer than ten. A key that another writer has added in between is a conflict, so the
// range never has more than ten keys.
func TestPhantomsAreCaught(t *testing.T) {
	full := errors.New("full")
	add := func(ctx context.Context, c *Cache, key string) error {
		_, err := c.Update(ctx, func(tx *Tx) error {
			n := 0
			for range tx.Range("a/", "a0") {
				n++
			}
			if n >= 10 {
				return full
			}
			tx.Put(key, "x")
			return nil
		})
		return err
	}
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, a *Cache) {
		b := synced(t, cluster.Client(), "a/")
		var writers sync.WaitGroup
		for n := range 40 {
			writers.Go(func() {
				if err := add(t.Context(), []*Cache{a, b}[n%2],
					fmt.Sprintf("a/%d", n)); err != nil {
					require.Equal(t, full, err)
				}
			})
		}
		writers.Wait()
		require.Len(t, cluster.Dump("a/"), 10)
	})
}

// interfering runs an Update whose function calls read. During the first attempt, it calls the
// function other after read. It returns the number of attempts.
func interfering(t *testing.T, c *Cache, read func(*Tx), other func()) (attempts int) {
	t.Helper()
	_, err := c.Update(t.Context(), func(tx *Tx) error {
		read(tx)
		if attempts++; attempts == 1 {
			other()
		}
		tx.Put("a/result", fmt.Sprint(attempts))
		return nil
	})
	require.NoError(t, err)
	return attempts
}

// TestUpdateDependsOnWhatWasRead shows that an Update runs again if another client changes what one
// of its reads has returned, and only then.
func TestUpdateDependsOnWhatWasRead(t *testing.T) {
	get := func(key string) func(*Tx) { return func(tx *Tx) { tx.Get(key) } }
	all := func(tx *Tx) {
		for range tx.Range("a/b", "a/p") {
		}
	}
	first := func(tx *Tx) {
		for range tx.Range("a/b", "a/p") {
			break
		}
	}
	put := func(key string) func(*testing.T, *clientv3.Client) {
		return func(t *testing.T, client *clientv3.Client) { mustPut(t, client, key, "new") }
	}
	del := func(key string) func(*testing.T, *clientv3.Client) {
		return func(t *testing.T, client *clientv3.Client) {
			_, err := client.Delete(t.Context(), key)
			require.NoError(t, err)
		}
	}
	for _, row := range []struct {
		name     string
		read     func(*Tx)
		other    func(*testing.T, *clientv3.Client)
		attempts int
	}{
		{"a key that was read is changed", get("a/c"), put("a/c"), 2},
		{"a key that was read is deleted", get("a/c"), del("a/c"), 2},
		{"a key that was missed is created", get("a/d"), put("a/d"), 2},
		{"another key is changed", get("a/c"), put("a/k"), 1},
		{"a key is created in a range", all, put("a/d"), 2},
		{"a key is changed in a range", all, put("a/k"), 2},
		{"a key is deleted in a range", all, del("a/k"), 2},
		{"a key is created outside of a range", all, put("a/p"), 1},
		{"a key is created behind what was read of a range", first, put("a/d"), 1},
		{"a key is created before what was read of a range", first, put("a/bb"), 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				other := cluster.Client()
				mustPut(t, other, "a/c", "old")
				rev := mustPut(t, other, "a/k", "old")
				_, err := c.AtLeast(t.Context(), rev)
				require.NoError(t, err)
				require.Equal(t, row.attempts,
					interfering(t, c, row.read, func() { row.other(t, other) }))
			})
		})
	}
}

// TestUpdateWithoutWritesSendsNothing shows that an Update without writes sends no transaction. It
// returns the revision of the snapshot that it has read.
func TestUpdateWithoutWritesSendsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		rev, err := c.Update(t.Context(), func(tx *Tx) error { tx.Get("a/k"); return nil })
		require.NoError(t, err)
		require.Equal(t, c.Snapshot().Revision(), rev)
		failure := errors.New("no")
		_, err = c.Update(t.Context(), func(tx *Tx) error { tx.Put("a/k", "v"); return failure })
		require.Equal(t, failure, err)
		require.Zero(t, cluster.Calls("Txn"))
		require.Empty(t, cluster.Dump("a/"))
	})
}

// TestUpdatesOutsideOfTheRange shows that an Update may write keys outside of the cache's range,
// but fails if it reads there.
func TestUpdatesOutsideOfTheRange(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		rev, err := c.Update(t.Context(), func(tx *Tx) error { tx.Put("b", "v"); return nil })
		require.NoError(t, err)
		require.Equal(t, cluster.Revision(), rev)
		require.GreaterOrEqual(t, c.Snapshot().Revision(), rev)
		_, err = c.Update(t.Context(), func(tx *Tx) error { tx.Delete("a/none"); return nil })
		require.NoError(t, err)
		sent := cluster.Calls("Txn")
		for name, read := range map[string]func(*Tx){
			`Get("b")`:            func(tx *Tx) { tx.Get("b") },
			`Range("a/", "\x00")`: func(tx *Tx) { tx.Range("a/", "\x00")(nil) },
			`Range("\x00", "b")`:  func(tx *Tx) { tx.Range("", "b")(nil) },
		} {
			_, err = c.Update(t.Context(), func(tx *Tx) error {
				read(tx)
				tx.Put("a/k", "")
				return nil
			})
			require.ErrorContains(t, err, name)
		}
		require.Equal(t, sent, cluster.Calls("Txn"))
	})
}

// TestTooManyReadsAreRefused shows that an Update with more than 128 reads fails before it sends a
// request. If the server has a lower limit, an Update can also fail by the server's refusal.
func TestTooManyReadsAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		read := func(n int) error {
			_, err := c.Update(t.Context(), func(tx *Tx) error {
				for i := range n {
					tx.Get(fmt.Sprintf("a/%d", i))
				}
				tx.Put("a/k", "v")
				return nil
			})
			return err
		}
		require.NoError(t, read(128))
		require.Equal(t, 1, cluster.Calls("Txn"))
		require.ErrorIs(t, read(129), ErrTooManyReads)
		require.Equal(t, 1, cluster.Calls("Txn"))
		cluster.On("Txn", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Refuse(rpctypes.ErrGRPCTooManyOps)
		})
		err := read(50)
		require.ErrorIs(t, err, ErrTooManyReads)
		require.ErrorIs(t, err, rpctypes.ErrTooManyOps)
	})
}

// TestUnknownOutcomes shows for which errors of a transaction Update returns ErrOutcomeUnknown: for
// those after which the server may have applied the transaction.
func TestUnknownOutcomes(t *testing.T) {
	for name, row := range map[string]struct {
		action  etcdfake.Action
		unknown bool
		cause   error
	}{
		"the answer is lost": {etcdfake.LoseAnswer(status.Error(codes.Unavailable, "cut")), true,
			nil},
		"the leader is lost": {etcdfake.Refuse(rpctypes.ErrGRPCTimeoutDueToLeaderFail), true,
			rpctypes.ErrTimeoutDueToLeaderFail},
		"no answer in time": {etcdfake.Pass().After(time.Minute), true, context.DeadlineExceeded},
		"no room":           {etcdfake.Refuse(rpctypes.ErrGRPCNoSpace), false, rpctypes.ErrNoSpace},
		"no permission": {etcdfake.Refuse(rpctypes.ErrGRPCPermissionDenied), false,
			rpctypes.ErrPermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				cluster.On("Txn", func(*etcdfake.Call) etcdfake.Action { return row.action })
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				rev, err := c.Update(ctx, increment)
				require.Error(t, err)
				require.Zero(t, rev)
				require.Equal(t, row.unknown, errors.Is(err, ErrOutcomeUnknown), "%v", err)
				if row.cause != nil {
					require.ErrorIs(t, err, row.cause)
				}
				require.Equal(t, 1, cluster.Calls("Txn"))
			})
		})
	}
}

// TestUpdateWaitsForTheWinner shows that an Update that has conflicted with another client's write
// does not try again before the write has reached the cache. The member that serves the cache's
// watch gets the write late.
func TestUpdateWaitsForTheWinner(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mustPut(t, c.client, "a/n", "1")
		_, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		other := 0
		for _, r := range cluster.Requests() {
			if create, ok := r.Message.(*pb.WatchRequest); ok && create.GetCreateRequest() != nil {
				cluster.Member(r.Member).Lag(3 * time.Second)
				other = 1 - r.Member
			}
		}
		mustPut(t, cluster.Client(func(cfg *clientv3.Config) {
			cfg.Endpoints = []string{cluster.Member(other).Endpoint()}
		}), "a/n", "7")
		before := cluster.Calls("Txn")
		_, err = c.Update(t.Context(), increment)
		require.NoError(t, err)
		require.Equal(t, "8", cluster.Dump("a/")["a/n"])
		require.Equal(t, 2, cluster.Calls("Txn")-before)
	}, etcdfake.WithMembers(2))
}

// TestUpdateEndsWithItsContext shows that Update ends with its context, or with the cache, after it
// has lost to another write and while it waits for that write to reach the cache.
func TestUpdateEndsWithItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		cluster.On("Txn", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Answer(&pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 1000}})
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Update(ctx, increment)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		done := make(chan error, 1)
		go func() {
			_, err := c.Update(t.Context(), increment)
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-done, ErrClosed)
	})
}

// TestPanicsOfTheFunctionReachTheCaller shows that a panic in the function of an Update reaches the
// caller of Update, and that the next Update works.
func TestPanicsOfTheFunctionReachTheCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		require.PanicsWithValue(t, "mine", func() {
			_, _ = c.Update(t.Context(), func(tx *Tx) error { tx.Put("a/k", "v"); panic("mine") })
		})
		_, err := c.Update(t.Context(), increment)
		require.NoError(t, err)
		var kv *mvccpb.KeyValue
		kv, _ = c.Snapshot().Get("a/n")
		require.Equal(t, "1", string(kv.GetValue()))
	})
}
