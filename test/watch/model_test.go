package watch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestWatchModel makes 50,000 changes in a cluster of three members. Meanwhile it kills, stops or
// cuts off one member after another. Then it compares what watches of every kind have received with
// the history of the store. Each watch must have received each of its events once and in order, and
// no progress notice before the events that the notice covers. To repeat the faults of a run, set
// the environment variable WATCH_SEED to the seed that the run has logged.
func TestWatchModel(t *testing.T) { runWatchModel(t, 50_000) }

func runWatchModel(t *testing.T, changes int) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WATCH_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("seed: WATCH_SEED=%d", seed)
	m := newWatchModel(t, seed)
	begin := time.Now()
	m.watchAll()

	faults := make(chan struct{})
	var chaos sync.WaitGroup
	chaos.Go(func() { m.injectFaults(faults) })
	m.write(changes)
	close(faults)
	chaos.Wait()
	wrote := time.Since(begin)

	ctx, cancel := context.WithTimeout(m.ctx, 2*patience+time.Duration(changes)*time.Millisecond)
	defer cancel()
	history := m.history(ctx)
	for _, o := range m.observers {
		o.waitFor(ctx, history)
	}
	m.stop()
	t.Logf("%d changes in %v with %d faults; %d revisions; all seen after %v", changes, wrote,
		m.faults, history[len(history)-1].rev, time.Since(begin))
	for _, o := range m.observers {
		o.check(history)
	}
	m.checkAcknowledged(history)
}

// watchModel is a cluster behind proxies, with writers and observers.
type watchModel struct {
	t         *testing.T
	rng       *rand.Rand // chooses the faults
	cluster   *etcdtest.Cluster
	proxies   []*faultnet.Proxy
	ctx       context.Context
	cancel    context.CancelFunc
	clients   []*clientv3.Client // of the observers
	observers []*observer
	running   sync.WaitGroup
	faults    int
	start     int64 // the first revision of the changes

	mu           sync.Mutex
	acknowledged map[int]int64 // number of a change → its revision, if the writer got it
}

func newWatchModel(t *testing.T, seed uint64) *watchModel {
	m := &watchModel{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), acknowledged: make(map[int]int64),
		cluster: etcdtest.Start(t, etcdtest.WithMembers(3),
			etcdtest.WithArgs("--watch-progress-notify-interval=300ms", "--max-request-bytes=65536",
				"--snapshot-count=100000")),
	}
	m.ctx, m.cancel = context.WithCancel(t.Context())
	for _, member := range m.cluster.Members() {
		m.proxies = append(m.proxies, faultnet.New(t, member.Address()))
	}
	for range 3 {
		m.clients = append(m.clients, m.client())
	}
	m.start = put(t, m.clients[0], "before", "") + 1
	return m
}

// client returns a client of the cluster through the proxies.
func (m *watchModel) client() *clientv3.Client {
	var endpoints []string
	for _, p := range m.proxies {
		endpoints = append(endpoints, p.Addr())
	}
	return testclient.New(m.t, clientv3.Config{Endpoints: endpoints, DialTimeout: time.Second})
}

// modelKeys is the number of keys.
const modelKeys = 50

func modelKey(i int) string { return fmt.Sprintf("m/%02d", i) }

// write makes n changes in transactions of ten, by several writers. A writer repeats a transaction
// whose outcome it does not learn. The history shows how often it was applied.
func (m *watchModel) write(n int) {
	const perTxn, writers = 10, 8
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			c := m.client()
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for {
				number := int(next.Add(perTxn)) - perTxn
				if number >= n {
					return
				}
				m.change(c, modelOps(rng, number, perTxn), number)
			}
		})
	}
	wg.Wait()
}

// modelOps returns puts of n different keys with the values number, number+1 and so on. In half of
// the cases a delete of one more key follows.
func modelOps(rng *rand.Rand, number, n int) []clientv3.Op {
	var ops []clientv3.Op
	for i, k := range rng.Perm(modelKeys)[:n+1] {
		switch {
		case i < n:
			ops = append(ops, clientv3.OpPut(modelKey(k), strconv.Itoa(number+i)))
		case rng.IntN(2) == 0:
			ops = append(ops, clientv3.OpDelete(modelKey(k)))
		}
	}
	return ops
}

// change repeats one transaction until it succeeds, and records the transaction's revision.
func (m *watchModel) change(c *clientv3.Client, ops []clientv3.Op, number int) {
	for m.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(m.ctx, 2*time.Second)
		resp, err := c.Txn(ctx).Then(ops...).Commit()
		cancel()
		if err == nil {
			m.mu.Lock()
			m.acknowledged[number] = resp.Header.Revision
			m.mu.Unlock()
			return
		}
	}
}

// injectFaults injects one fault after the other until stop is closed. When it returns, no fault is
// left.
func (m *watchModel) injectFaults(stop <-chan struct{}) {
	for {
		i := m.rng.IntN(3)
		fault := modelFaults[m.rng.IntN(len(modelFaults))]
		lasting := time.Duration(50+m.rng.IntN(500)) * time.Millisecond
		pause := time.Duration(m.rng.IntN(200)) * time.Millisecond
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		fault(m, m.cluster.Members()[i], m.proxies[i], lasting)
		m.faults++
	}
}

// modelFaults make one member unusable for a while, and return when it serves again.
var modelFaults = []func(m *watchModel, member *etcdtest.Member, proxy *faultnet.Proxy,
	lasting time.Duration){
	func(m *watchModel, member *etcdtest.Member, _ *faultnet.Proxy, lasting time.Duration) {
		member.Kill()
		time.Sleep(lasting)
		assert.NoError(m.t, member.Restart())
	},
	func(m *watchModel, member *etcdtest.Member, _ *faultnet.Proxy, _ time.Duration) {
		assert.NoError(m.t, member.Terminate())
		assert.NoError(m.t, member.Restart())
	},
	func(m *watchModel, member *etcdtest.Member, _ *faultnet.Proxy, lasting time.Duration) {
		assert.NoError(m.t, member.Pause())
		time.Sleep(lasting)
		assert.NoError(m.t, member.Resume())
	},
	func(_ *watchModel, _ *etcdtest.Member, proxy *faultnet.Proxy, _ time.Duration) {
		proxy.Reset()
	},
	func(m *watchModel, _ *etcdtest.Member, proxy *faultnet.Proxy, _ time.Duration) {
		// This fault can cut the connection in the middle of a message.
		proxy.CutAfter(faultnet.ToClient, int64(1+m.rng.IntN(100_000)))
	},
	func(m *watchModel, _ *etcdtest.Member, proxy *faultnet.Proxy, lasting time.Duration) {
		proxy.Blackhole([]faultnet.Direction{faultnet.Both, faultnet.ToServer,
			faultnet.ToClient}[m.rng.IntN(3)])
		time.Sleep(lasting)
		proxy.Heal()
	},
	func(_ *watchModel, _ *etcdtest.Member, proxy *faultnet.Proxy, lasting time.Duration) {
		proxy.Throttle(20_000)
		time.Sleep(lasting)
		proxy.Heal()
	},
	func(_ *watchModel, _ *etcdtest.Member, proxy *faultnet.Proxy, lasting time.Duration) {
		proxy.Refuse()
		proxy.Reset()
		time.Sleep(lasting)
		proxy.Heal()
	},
}

// stop ends all observers.
func (m *watchModel) stop() {
	m.cancel()
	m.running.Wait()
}
