//go:build unix

package linearizability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	caching = 3
	plain   = 1
	clients = caching + plain
	keys    = 6 // how many keys a round uses
)

// trial is a cluster with clients that work on shared keys.
type trial struct {
	t       *testing.T
	rnd     *rand.Rand
	start   time.Time
	cluster *etcdtest.Cluster
	clients []*client
	ledger  ledger
	round   atomic.Int64
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	tr := &trial{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), start: time.Now(),
		cluster: etcdtest.Start(t, etcdtest.WithMembers(3))}
	for i := range clients {
		c := &client{number: i}
		var endpoints []string
		for _, m := range tr.cluster.Members() {
			p := faultnet.New(t, m.Address())
			c.proxies = append(c.proxies, p)
			endpoints = append(endpoints, p.Addr())
		}
		cli := testclient.New(t, clientv3.Config{Endpoints: endpoints})
		c.plain = cli.KV
		if i < caching {
			var err error
			c.cache, err = cache.New(cli, "a/")
			require.NoError(t, err)
			t.Cleanup(func() { _ = c.cache.Close() })
			requireSynced(t, c.cache)
			c.kv = c.cache.KV()
		}
		tr.clients = append(tr.clients, c)
	}
	return tr
}

// key returns key number n of the current round. Each round has keys of its own.
func (tr *trial) key(n int) string { return fmt.Sprintf("a/%d/%d", tr.round.Load(), n) }

// faults are the ways in which a trial disturbs the cluster or the connections while the clients
// work.
var faults = []struct {
	name string
	run  func(tr *trial)
}{
	{"a member is stopped", func(tr *trial) {
		m := tr.cluster.Members()[tr.rnd.IntN(3)]
		require.NoError(tr.t, m.Pause())
		time.Sleep(2 * time.Second)
		require.NoError(tr.t, m.Resume())
	}},
	{"the leader is killed", func(tr *trial) {
		m := tr.cluster.Leader()
		m.Kill()
		time.Sleep(time.Second)
		require.NoError(tr.t, m.Restart())
	}},
	{"a client is cut off", func(tr *trial) {
		c := tr.clients[tr.rnd.IntN(caching)]
		direction := []faultnet.Direction{faultnet.Both, faultnet.ToServer,
			faultnet.ToClient}[tr.rnd.IntN(3)]
		for _, p := range c.proxies {
			p.Blackhole(direction)
		}
		time.Sleep(2 * time.Second)
		for _, p := range c.proxies {
			p.Heal()
		}
	}},
	{"connections are cut, and history is compacted", func(tr *trial) {
		for range 10 {
			for _, c := range tr.clients {
				c.proxies[tr.rnd.IntN(3)].Reset()
			}
			rev := tr.ledger.before(time.Now())
			// Compact fails if rev was compacted before.
			_, _ = tr.clients[caching].plain.Compact(tr.t.Context(), rev)
			time.Sleep(100 * time.Millisecond)
		}
	}},
}

// run lets all clients work on new keys during one fault after another, and checks the events.
func (tr *trial) run(seed uint64, rounds int) {
	ctx, cancel := context.WithCancel(tr.t.Context())
	var running sync.WaitGroup
	for _, c := range tr.clients {
		for w := range workers {
			running.Go(func() { c.work(ctx, tr, c.number*workers+w, seed) })
		}
	}
	for n := range rounds {
		fault := faults[n%len(faults)]
		tr.t.Logf("round %d: %s", n, fault.name)
		tr.round.Store(int64(n))
		time.Sleep(500 * time.Millisecond)
		fault.run(tr)
		time.Sleep(500 * time.Millisecond)
	}
	cancel()
	running.Wait()
	var all []event
	for _, c := range tr.clients {
		failed := 0
		for _, e := range c.events {
			if e.Unknown {
				failed++
			}
		}
		tr.t.Logf("client %d: %d operations, %d failed, %d reads of some age", c.number,
			len(c.events), failed, c.fresh)
		all = append(all, c.events...)
		if c.cache != nil {
			tr.t.Logf("%+v", c.cache.Status())
			require.Positive(tr.t, c.fresh)
		}
	}
	require.Greater(tr.t, len(all), 300*rounds)
	check(tr.t, all)
}

// TestHistoriesAreLinearizable runs each fault once. For each key, there must be one order of all
// operations that explains what every client has read.
func TestHistoriesAreLinearizable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	newTrial(t, seed).run(seed, len(faults))
}
