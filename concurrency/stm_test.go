package concurrency

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

var (
	allLevels     = []Isolation{SerializableSnapshot, Serializable, RepeatableReads, ReadCommitted}
	checkedLevels = allLevels[:3]
)

func TestSTMReadsAndWrites(t *testing.T) {
	client, p := sharedClient(t)
	a, b, none := p+"a", p+"b", p+"none"
	put(t, client, a, "va")
	put(t, client, b, "vb")
	before, err := client.Get(t.Context(), a)
	require.NoError(t, err)

	for _, level := range allLevels {
		put(t, client, a, "va")
		put(t, client, b, "vb")
		resp, err := NewSTM(client, func(s STM) error {
			assert.Equal(t, "va", s.Get(a, b), "the first of several keys")
			assert.Equal(t, "", s.Get(none, a), "the first of several keys, which does not exist")
			assert.Equal(t, "", s.Get(none))
			assert.Equal(t, "", s.Get())
			assert.Zero(t, s.Rev(none))
			assert.Greater(t, s.Rev(a), before.Kvs[0].ModRevision)

			s.Put(b, "1")
			s.Del(a)
			s.Put(none, "new")
			s.Put(b, "2")
			assert.Equal(t, "2", s.Get(a+"?", b), "what is written comes before what is read")
			assert.Equal(t, "", s.Get(a), "a deleted key")
			assert.NotZero(t, s.Rev(a), "the revision is the store's")
			return nil
		}, WithIsolation(level))
		require.NoError(t, err)
		require.True(t, resp.Succeeded)
		require.Len(t, resp.Responses, 3)
		assert.NotNil(t, resp.Responses[0].GetResponsePut())
		assert.Equal(t, int64(1), resp.Responses[1].GetResponseDeleteRange().GetDeleted())
		assert.Equal(t, []string{"", "2", "new"}, values(t, client, a, b, none))

		_, err = client.Delete(t.Context(), none)
		require.NoError(t, err)
	}
}

func TestSTMPutTakesOptions(t *testing.T) {
	client, p := sharedClient(t)
	lease, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	_, err = NewSTM(client, func(s STM) error {
		s.Put(p, "leased", clientv3.WithLease(lease.ID))
		return nil
	})
	require.NoError(t, err)
	resp, err := client.Get(t.Context(), p)
	require.NoError(t, err)
	assert.Equal(t, int64(lease.ID), resp.Kvs[0].Lease)
}

func TestSTMUnknownIsolation(t *testing.T) {
	client, _ := sharedClient(t)
	_, err := NewSTM(client, func(STM) error { return nil }, WithIsolation(7))
	assert.ErrorContains(t, err, "7")
}

// TestSTMIsolation runs transactions at each isolation level. It changes keys while a transaction's
// function runs, and counts how often the function runs.
func TestSTMIsolation(t *testing.T) {
	client, p := sharedClient(t)
	read, late, written := p+"read", p+"late", p+"written"
	cases := []struct {
		level Isolation
		// true if a read of the key "late" after its change still returns the old value
		oldLate bool
		// how often the function runs if the key "read", "late" or "written" changes meanwhile
		readChanged, lateChanged, writeRaced int
	}{
		{SerializableSnapshot, true, 2, 2, 2},
		{Serializable, true, 2, 2, 1},
		{RepeatableReads, false, 2, 1, 1},
		{ReadCommitted, false, 1, 1, 1},
	}
	for _, c := range cases {
		for key, runs := range map[string]int{read: c.readChanged, late: c.lateChanged,
			written: c.writeRaced} {
			t.Run(fmt.Sprint(c.level, key[len(p):]), func(t *testing.T) {
				for _, k := range []string{read, late, written} {
					put(t, client, k, "old")
				}
				n := 0
				_, err := NewSTM(client, func(s STM) error {
					first := s.Get(read)
					if n++; n == 1 {
						put(t, client, key, "new")
					}
					assert.Equal(t, first, s.Get(read), "a key is read once")
					if n == 1 && key == late {
						assert.Equal(t, c.oldLate, s.Get(late) == "old")
					} else {
						s.Get(late)
					}
					s.Put(written, "mine")
					return nil
				}, WithIsolation(c.level))
				require.NoError(t, err)
				assert.Equal(t, runs, n)
				assert.Equal(t, []string{"mine"}, values(t, client, written))
			})
		}
	}
}

// TestTransactionCatchesWriteSkew runs two transactions. Both read both keys before either writes
// its own key. Except at the level ReadCommitted, only one of them may write.
func TestTransactionCatchesWriteSkew(t *testing.T) {
	client, p := sharedClient(t)
	x, y := p+"x", p+"y"
	for _, level := range allLevels {
		put(t, client, x, "1")
		put(t, client, y, "1")
		var bothRead, done sync.WaitGroup
		bothRead.Add(2)
		takeOne := func(key string) {
			defer done.Done()
			var once sync.Once
			_, err := NewSTM(client, func(s STM) error {
				sum := s.Get(x) + s.Get(y)
				once.Do(func() { bothRead.Done(); bothRead.Wait() })
				if sum == "11" {
					s.Put(key, "0")
				}
				return nil
			}, WithIsolation(level))
			assert.NoError(t, err)
		}
		done.Add(2)
		go takeOne(x)
		go takeOne(y)
		done.Wait()

		left := values(t, client, x, y)
		if level == ReadCommitted {
			assert.Equal(t, []string{"0", "0"}, left, "this level promises nothing")
			continue
		}
		assert.ElementsMatch(t, []string{"0", "1"}, left, "level %d", level)
	}
}

func TestTransactionErrorsAreNotSwallowed(t *testing.T) {
	client, p := sharedClient(t)
	put(t, client, p, "untouched")
	for _, level := range allLevels {
		for name, c := range failingSTMs(t, p) {
			resp, err := NewSTM(client, c.apply, WithIsolation(level), WithAbortContext(c.ctx))
			assert.ErrorIs(t, err, c.want, name)
			assert.Nil(t, resp, name)
		}
	}
	assert.Equal(t, []string{"untouched"}, values(t, client, p))
}

// failingSTM is a transaction that fails.
type failingSTM struct {
	apply func(STM) error
	ctx   context.Context
	want  error
}

// failingSTMs returns transactions that fail. Each map key says where the transaction's error comes
// from. A transaction that did not fail would put the key p.
func failingSTMs(t *testing.T, p string) map[string]failingSTM {
	mine := errors.New("mine")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	many := make([]string, 129)
	for i := range many {
		many[i] = p + strconv.Itoa(i)
	}
	return map[string]failingSTM{
		"of the function": {func(s STM) error {
			s.Put(p, "x")
			return mine
		}, t.Context(), mine},
		"of a read": {func(s STM) error {
			s.Put(p, "x")
			s.Get("")
			return nil
		}, t.Context(), rpctypes.ErrEmptyKey},
		"of too many reads": {func(s STM) error {
			s.Put(p, "x")
			s.Get(many...)
			return nil
		}, t.Context(), rpctypes.ErrTooManyOps},
		"of the last request": {func(s STM) error {
			s.Put(p, "x")
			s.Put("", "x")
			return nil
		}, t.Context(), rpctypes.ErrEmptyKey},
		"of a lease": {func(s STM) error {
			s.Put(p, "x", clientv3.WithLease(12345))
			return nil
		}, t.Context(), rpctypes.ErrLeaseNotFound},
		"of the context": {func(s STM) error {
			s.Put(p, "x")
			s.Get(p)
			return nil
		}, ended, context.Canceled},
		"of a context, blind": {func(s STM) error {
			s.Put(p, "x")
			return nil
		}, ended, context.Canceled},
		"of a read, recovered": {func(s STM) error {
			s.Put(p, "x")
			recovered(func() { s.Get("") })
			return nil
		}, t.Context(), rpctypes.ErrEmptyKey},
		"of a read, twice": {func(s STM) error {
			recovered(func() { s.Get("") })
			recovered(func() { s.Get(p) })
			return mine
		}, t.Context(), rpctypes.ErrEmptyKey},
	}
}

func recovered(f func()) {
	defer func() { _ = recover() }()
	f()
}

func TestSTMOfNamedLevels(t *testing.T) {
	client, p := sharedClient(t)
	for i, run := range []func(context.Context, *clientv3.Client,
		func(STM) error) (*clientv3.TxnResponse, error){
		NewSTMRepeatable, NewSTMSerializable, NewSTMReadCommitted,
	} {
		val := strconv.Itoa(i)
		_, err := run(t.Context(), client, func(s STM) error { s.Put(p, val); return nil })
		require.NoError(t, err)
		assert.Equal(t, []string{val}, values(t, client, p))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = run(ended, client, func(s STM) error { s.Get(p); return nil })
		assert.ErrorIs(t, err, context.Canceled)
	}
}

// TestBankTransfersKeepTheSum moves money between 10 accounts from 8 clients of a cluster of three.
func TestBankTransfersKeepTheSum(t *testing.T) {
	const accounts, clients, transfers, each = 10, 8, 25, 100
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	teller := newClient(t, cluster.Endpoints()...)
	account := func(i int) string { return "account/" + strconv.Itoa(i) }
	sum := func(s STM) (sum int) {
		for i := range accounts {
			n, err := strconv.Atoi(s.Get(account(i)))
			assert.NoError(t, err)
			sum += n
		}
		return sum
	}
	for _, level := range checkedLevels {
		for i := range accounts {
			put(t, teller, account(i), strconv.Itoa(each))
		}
		var wg sync.WaitGroup
		for c := range clients {
			client := newClient(t, cluster.Endpoints()...)
			wg.Go(func() {
				for n := range transfers {
					from, to := account((c+n)%accounts), account((c+3*n+1)%accounts)
					_, err := NewSTM(client, func(s STM) error {
						return transfer(s, from, to, 1+n%7)
					}, WithIsolation(level))
					assert.NoError(t, err)
				}
			})
		}
		wg.Wait()
		_, err := NewSTM(teller, func(s STM) error {
			assert.Equal(t, accounts*each, sum(s), "level %d", level)
			return nil
		})
		require.NoError(t, err)
	}
}

func transfer(s STM, from, to string, amount int) error {
	if from == to {
		return nil
	}
	a, err := strconv.Atoi(s.Get(from))
	if err != nil {
		return err
	}
	b, err := strconv.Atoi(s.Get(to))
	if err != nil {
		return err
	}
	s.Put(from, strconv.Itoa(a-amount))
	s.Put(to, strconv.Itoa(b+amount))
	return nil
}
