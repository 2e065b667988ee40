//go:build unix

package linearizability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

const (
	workers   = 3 // how many workers each client has
	opTimeout = time.Second
	maxAge    = 300 * time.Millisecond
)

// client is an etcd client that reaches the members through proxies of its own. Some clients have a
// cache.
type client struct {
	number  int
	proxies []*faultnet.Proxy
	plain   clientv3.KV
	cache   *cache.Cache // nil if the client works without a cache
	kv      clientv3.KV  // the KV of the cache

	mu     sync.Mutex
	events []event
	fresh  int // how many reads were compared with the ledger
}

// ledger has the revisions of acknowledged writes, in the order of the acknowledgements.
type ledger struct {
	mu     sync.Mutex
	at     []time.Time // when each write was acknowledged
	newest []int64     // the greatest revision acknowledged up to the time in at
}

func (l *ledger) add(rev int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.newest); n > 0 {
		rev = max(rev, l.newest[n-1])
	}
	l.at, l.newest = append(l.at, time.Now()), append(l.newest, rev)
}

// before returns the greatest revision that was acknowledged before the given time.
func (l *ledger) before(when time.Time) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.at) - 1; i >= 0; i-- {
		if l.at[i].Before(when) {
			return l.newest[i]
		}
	}
	return 0
}

// work runs one random operation after another on the keys of the current round, until ctx ends.
func (c *client) work(ctx context.Context, tr *trial, worker int, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, uint64(worker)))
	for n := 0; ctx.Err() == nil; n++ {
		e := event{Worker: worker, Key: tr.key(rnd.IntN(keys)),
			Value: fmt.Sprintf("%d.%d", worker, n)}
		opCtx, cancel := context.WithTimeout(ctx, opTimeout)
		e.Start = int64(time.Since(tr.start))
		rev, err := c.do(opCtx, tr, rnd, &e)
		e.End = int64(time.Since(tr.start))
		cancel()
		e.Unknown = err != nil
		if err == nil && rev > 0 {
			tr.ledger.add(rev)
		}
		if e.Op != "" {
			c.mu.Lock()
			c.events = append(c.events, e)
			c.mu.Unlock()
		}
		time.Sleep(time.Duration(rnd.IntN(4)) * time.Millisecond)
	}
}

// do runs a random operation. It returns the revision of a write, and 0 for a read.
func (c *client) do(
	ctx context.Context, tr *trial, rnd *rand.Rand, e *event,
) (rev int64, err error) {
	dice := rnd.IntN(20)
	switch {
	case dice == 0:
		e.Op = "delete"
		resp, err := c.writer().Delete(ctx, e.Key)
		if err != nil {
			return 0, err
		}
		return resp.Header.Revision, nil
	case dice < 3:
		e.Op = "put"
		resp, err := c.writer().Put(ctx, e.Key, e.Value)
		if err != nil {
			return 0, err
		}
		return resp.Header.Revision, nil
	case c.cache == nil:
		return 0, c.get(ctx, c.plain, e)
	case dice < 6:
		return c.update(ctx, e)
	case dice < 9:
		return 0, c.checkLedger(ctx, tr)
	case dice < 14:
		return 0, c.get(ctx, c.kv, e)
	default:
		e.Op, e.How = "get", "Fresh"
		s, err := c.cache.Fresh(ctx, 0)
		kv, _ := s.Get(e.Key)
		e.Saw = string(kv.GetValue())
		return 0, err
	}
}

// writer returns the KV of the cache. If the client has no cache, it returns the plain KV.
func (c *client) writer() clientv3.KV {
	if c.kv != nil {
		return c.kv
	}
	return c.plain
}

func (c *client) get(ctx context.Context, kv clientv3.KV, e *event) error {
	e.Op, e.How = "get", fmt.Sprintf("%T", kv)
	resp, err := kv.Get(ctx, e.Key)
	if err == nil && len(resp.Kvs) > 0 {
		e.Saw = string(resp.Kvs[0].Value)
	}
	return err
}

func (c *client) update(ctx context.Context, e *event) (int64, error) {
	e.Op = "update"
	return c.cache.Update(ctx, func(tx *cache.Tx) error {
		kv, _ := tx.Get(e.Key)
		e.Saw = string(kv.GetValue())
		tx.Put(e.Key, e.Value)
		return nil
	})
}

// checkLedger reads with Fresh(maxAge). The snapshot must have every write that was acknowledged
// longer ago than maxAge.
func (c *client) checkLedger(ctx context.Context, tr *trial) error {
	start := time.Now()
	s, err := c.cache.Fresh(ctx, maxAge)
	if err != nil {
		return err
	}
	if least := tr.ledger.before(start.Add(-maxAge)); s.Revision() < least {
		tr.t.Errorf("client %d: Fresh(%v) returned revision %d, and %d was acknowledged before",
			c.number, maxAge, s.Revision(), least)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh++
	return nil
}

func requireSynced(t *testing.T, c *cache.Cache) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, c.WaitSynced(ctx))
}
