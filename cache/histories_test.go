package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"sort"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// model is one cluster, and what was in the range at each of its revisions.
type model struct {
	cluster *etcdfake.Cluster
	writer  *clientv3.Client    // its endpoint is the first member, which is never cut off for long
	states  []map[string]string // by revision
	writes  [][]clientv3.Op
	// revisions has the revision of the cluster after each element of writes.
	revisions []int64
}

// world is a random history: clusters, each restored from a backup of the one before, and a cache
// of the newest.
type world struct {
	t      *testing.T
	ctx    context.Context
	client *clientv3.Client
	cache  *Cache
	// version is that of the servers. Notices of progress from some versions must not be trusted.
	version string

	mu     sync.Mutex // guards what follows: hooks run on the goroutines of calls
	rng    *rand.Rand
	models []*model
	faulty bool

	committing bool       // a write runs: the cluster may have it before the model does
	recorded   *sync.Cond // is signalled when committing changes
}

const historyPrefix = "a/"

func (w *world) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func (w *world) newest() *model {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.models[len(w.models)-1]
}

// asRoot lets a client log in.
func asRoot(cfg *clientv3.Config) { cfg.Username, cfg.Password = "root", "root" }

// addCluster starts a cluster and makes the given writes in it. They are the first writes of the
// previous cluster, if there was one.
func (w *world) addCluster(writes [][]clientv3.Op) {
	m := &model{states: []map[string]string{{}, {}}}
	m.cluster = etcdfake.New(w.t, etcdfake.WithMembers(3), etcdfake.WithVersion(w.version),
		etcdfake.WithUsers(etcdfake.User{Name: "root", Password: "root"}))
	m.writer = m.cluster.Client(asRoot, func(cfg *clientv3.Config) {
		cfg.Endpoints = m.cluster.Endpoints()[:1]
	})
	for _, ops := range writes {
		m.commit(w, ops)
	}
	m.cluster.On("Range", w.decide)
	m.cluster.On("RangeStream", w.slowPieces)
	m.cluster.On("Watch", w.decide)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.models = append(w.models, m)
}

// decide delays or refuses a call while there are faults.
func (w *world) decide(*etcdfake.Call) etcdfake.Action {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.faulty {
		return etcdfake.Pass()
	}
	switch w.rng.IntN(12) {
	case 0:
		return etcdfake.Refuse(status.Error(codes.Unavailable, "refused by the test"))
	case 1, 2, 3:
		return etcdfake.Delay(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
	}
	return etcdfake.Pass()
}

// commit makes one write, which must succeed, and records its revision and the range after it.
func (m *model) commit(w *world, ops []clientv3.Op) int64 {
	synctest.Wait() // lets the writer notice that its connection was closed
	w.setCommitting(true)
	defer w.setCommitting(false)
	resp, err := m.writer.Txn(w.ctx).Then(ops...).Commit()
	require.NoError(w.t, err)
	dump := m.cluster.Dump(historyPrefix)
	w.mu.Lock()
	defer w.mu.Unlock()
	m.writes = append(m.writes, ops)
	m.revisions = append(m.revisions, resp.Header.Revision)
	if rev := resp.Header.Revision; rev == int64(len(m.states)) {
		m.states = append(m.states, dump)
	}
	require.Len(w.t, m.states, int(resp.Header.Revision)+1)
	return resp.Header.Revision
}

func (w *world) setCommitting(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.committing = on
	w.recorded.Broadcast()
}

// write makes a random write.
func (w *world) write() {
	key := fmt.Sprintf("%s%02d", historyPrefix, w.intN(30))
	value, second := strconv.Itoa(w.intN(1000)), fmt.Sprintf("%sx%02d", historyPrefix, w.intN(9))
	var ops []clientv3.Op
	switch w.intN(8) {
	case 0, 1, 2:
		ops = []clientv3.Op{clientv3.OpPut(key, value)}
	case 3:
		ops = []clientv3.Op{clientv3.OpDelete(key)}
	case 4:
		ops = []clientv3.Op{clientv3.OpDelete(key, clientv3.WithRange(key+"~"))}
	case 5:
		ops = []clientv3.Op{clientv3.OpPut("b/"+key, value)}
	default:
		ops = []clientv3.Op{clientv3.OpPut(key, value), clientv3.OpDelete(second),
			clientv3.OpPut(second+"y", value)}
	}
	w.newest().commit(w, ops)
}

// restore replaces the cluster by a new one that lacks the last writes, as after a restore from a
// backup. The cache has seen some of the lost writes. Both clusters have the same id, so the cache
// notices the restore only by an answer with a lower revision than its copy. restore passes such an
// answer to the cache at once, because the new cluster may soon reach the revision of the copy.
func (w *world) restore() {
	m, seen := w.newest(), w.cache.now().revision
	kept := sort.Search(len(m.writes), func(i int) bool { return m.revisions[i] >= seen })
	if kept == 0 {
		return
	}
	w.addCluster(m.writes[:kept-w.intN(min(10, kept))])
	for i := range 3 {
		m.cluster.Member(i).Stop()
	}
	synctest.Wait()
	before := w.cache.now()
	resp, err := w.newest().writer.Get(w.ctx, "c", clientv3.WithCountOnly())
	require.NoError(w.t, err)
	w.cache.proven(resp.Header, time.Now(), before)
}

// dial connects to a member of the newest cluster.
func (w *world) dial(ctx context.Context, address string) (net.Conn, error) {
	return w.newest().cluster.Dialer()(ctx, address)
}

// check requires that one of the clusters had the given pairs in the range at the given revision.
func (w *world) check(revision int64, got map[string]string, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for _, m := range w.models {
			if revision < int64(len(m.states)) && maps.Equal(m.states[revision], got) {
				return
			}
		}
		if !w.committing {
			break
		}
		w.recorded.Wait()
	}
	states := w.models[len(w.models)-1].states
	require.Less(w.t, revision, int64(len(states)), what)
	require.Equal(w.t, states[revision], got, "%s at revision %d", what, revision)
}

// fault breaks something for a while.
func (w *world) fault() {
	cluster := w.newest().cluster
	wait := func() { time.Sleep(time.Duration(w.intN(8000)) * time.Millisecond) }
	other := cluster.Member(1 + w.intN(2))
	switch w.intN(9) {
	case 0:
		cluster.Member(w.intN(3)).Cut()
	case 1:
		other.Mute()
		wait()
		other.Unmute()
	case 2:
		other.Stop()
		wait()
		other.Start()
	case 3:
		other.Lag(time.Duration(w.intN(3000)) * time.Millisecond)
	case 4:
		cluster.ExpireTokens()
	case 5:
		restore := cluster.LoseLeader()
		wait()
		restore()
	case 6:
		for i := range 3 {
			cluster.Member(i).Cut()
		}
	case 7:
		w.compact()
	case 8:
		// All connections are closed. Then some writes are made and compacted at once.
		for i := range 3 {
			cluster.Member(i).Cut()
		}
		for range w.intN(5) {
			w.write()
		}
		w.compact()
	}
}

func (w *world) compact() {
	m := w.newest()
	rev := int64(len(m.states)) - 1 - int64(w.intN(3))
	synctest.Wait()
	if _, err := m.writer.Compact(w.ctx, rev); err != nil {
		require.ErrorContains(w.t, err, "compacted")
	}
}

// readFresh requires that a fresh read has the last write, unless faults delay the read too long.
func (w *world) readFresh() {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	s, err := w.cache.Fresh(ctx, 0)
	if err != nil {
		require.ErrorIs(w.t, err, context.DeadlineExceeded)
		return
	}
	last := w.newest().states
	require.Equal(w.t, last[len(last)-1], contents(s), "fresh at revision %d", s.Revision())
}

// step does one thing, and looks at the snapshot.
func (w *world) step() {
	switch n := w.intN(100); {
	case n < 52:
		w.write()
	case n < 60:
		w.readFresh()
	case n < 75:
		time.Sleep(time.Duration(w.intN(2000)) * time.Millisecond)
	case n < 98:
		w.fault()
	case !w.cache.listing():
		// Not during a list: at its end, the new cluster may have reached a revision that hides it.
		w.restore()
	}
	s := w.cache.Snapshot()
	if s.Revision() > 0 {
		w.check(s.Revision(), contents(s), "snapshot")
	}
}

// consume applies each batch of Changes to a map, which must then equal the range at its revision.
func (w *world) consume(slow bool, rng *rand.Rand) {
	fold := map[string]string{}
	for b, err := range w.cache.Changes(w.ctx) {
		if err != nil {
			require.ErrorIs(w.t, err, ErrClosed)
			return
		}
		if b.Full {
			require.Empty(w.t, fold)
		}
		for _, ch := range b.Changes {
			old, existed := fold[ch.Key]
			require.Equal(w.t, existed, ch.Old != nil, "key %q", ch.Key)
			require.Equal(w.t, old, string(ch.Old.GetValue()), "key %q", ch.Key)
			delete(fold, ch.Key)
			if ch.New != nil {
				fold[ch.Key] = string(ch.New.Value)
			}
		}
		w.check(b.Revision, fold, "the fold of a consumer")
		if slow {
			time.Sleep(time.Duration(rng.IntN(30_000)) * time.Millisecond)
		}
	}
}

// TestRandomHistories runs a cache and its consumers through random writes, faults, compactions and
// restored backups. Every snapshot must equal the range at its revision, and so must the map to
// which a consumer has applied all changes so far. When the faults are over, the cache and all
// consumers must get the last write. CACHE_HISTORIES sets the number of histories. CACHE_SEED
// repeats the history of one seed, but its goroutines may run in another order.
func TestRandomHistories(t *testing.T) {
	first, seeds := number(t, "CACHE_SEED", 1), number(t, "CACHE_HISTORIES", 200)
	if os.Getenv("CACHE_SEED") != "" {
		seeds = 1
	}
	for seed := first; seed < first+seeds; seed++ {
		ok := t.Run(fmt.Sprintf("CACHE_SEED=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runHistory(t, seed) })
		})
		if !ok {
			return
		}
	}
}

// number returns the number in the environment variable name, or the default in otherwise.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

func runHistory(t *testing.T, seed uint64) {
	w := &world{t: t, ctx: t.Context(), rng: rand.New(rand.NewPCG(seed, 2))}
	w.version = []string{"3.7.3", "3.5.7", "3.6.1"}[seed%3]
	w.recorded = sync.NewCond(&w.mu)
	w.addCluster(nil)
	for range w.intN(60) {
		w.write()
	}
	w.client = w.newest().cluster.Client(asRoot, func(cfg *clientv3.Config) {
		cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(w.dial)}
	})
	w.faulty = true
	pages := WithPageSize(1 + w.intN(20))
	if seed%2 == 0 {
		pages = pageOf(1 + w.intN(5)) // the rest of the range is read by a stream
	}
	var err error
	w.cache, err = New(w.client, historyPrefix, pages,
		WithHistory(int64(w.intN(3000))), WithAudit(time.Duration(1+w.intN(60))*time.Second))
	require.NoError(t, err)
	var consumers sync.WaitGroup
	defer func() {
		require.NoError(t, w.cache.Close())
		consumers.Wait()
	}()
	for i := range 4 {
		consumers.Go(func() { w.consume(i > 0, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for range 60 {
		w.step()
	}
	w.settle()
}

// settle ends the faults, and waits until the cache has the last write.
func (w *world) settle() {
	w.mu.Lock()
	w.faulty = false
	w.mu.Unlock()
	for i := range 3 {
		w.newest().cluster.Member(i).Lag(0)
	}
	rev := w.newest().commit(w, []clientv3.Op{clientv3.OpPut(historyPrefix+"last", "x")})
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Minute)
	defer cancel()
	s, err := w.cache.AtLeast(ctx, rev)
	for err == nil && contents(s)["a/last"] == "" {
		// The snapshot is from before the restore of the cluster.
		time.Sleep(time.Second)
		if s, err = w.cache.AtLeast(ctx, rev); ctx.Err() != nil {
			err = errors.Join(err, ctx.Err())
		}
	}
	require.NoError(w.t, err, "%+v", w.cache.Status())
	w.check(s.Revision(), contents(s), "the last snapshot")
}
