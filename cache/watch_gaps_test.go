package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomwatch"
)

// gapWorld is a cluster of three members. The cache uses the second and the third, which fail now
// and then. The first always works, and a watch of all keys runs on it.
type gapWorld struct {
	t         *testing.T
	r         *rand.Rand
	ctx       context.Context
	cluster   *etcdfake.Cluster
	writer    *clientv3.Client
	all       randomwatch.Log
	cache     *Cache
	watcher   clientv3.Watcher
	watches   []*gapWatch
	compacted int64
	refuses   atomic.Bool // the server refuses to open streams of watches
}

// gapWatch is a watch that a gapWorld has opened through its cache.
type gapWatch struct {
	*randomwatch.Pair
	opened   int64 // the revision of the cluster before the watch was opened
	cancel   context.CancelFunc
	finished bool // the test has cancelled the watch
}

func newGapWorld(t *testing.T, seed uint64) *gapWorld {
	w := &gapWorld{t: t, r: rand.New(rand.NewPCG(seed, 3)), ctx: t.Context(),
		cluster: etcdfake.New(t, etcdfake.WithMembers(3))}
	w.writer = w.cluster.Client(func(cfg *clientv3.Config) {
		cfg.Endpoints = w.cluster.Endpoints()[:1]
	})
	client := w.cluster.Client(func(cfg *clientv3.Config) {
		cfg.Endpoints = w.cluster.Endpoints()[1:]
	})
	go w.all.Follow(w.writer.Watch(w.ctx, "", clientv3.WithFromKey(), clientv3.WithPrevKV()))
	synctest.Wait()
	w.cluster.On("Watch", func(c *etcdfake.Call) etcdfake.Action {
		if w.refuses.Load() && c.Member > 0 {
			return etcdfake.Refuse(status.Error(codes.Unavailable, "refused by the test"))
		}
		return etcdfake.Pass()
	})
	w.write(20)
	c, err := New(client, "a/", WithHistory(w.r.Int64N(8000)))
	require.NoError(t, err)
	w.cache, w.watcher = c, c.Watcher()
	require.NoError(t, c.WaitSynced(t.Context()))
	return w
}

func (w *gapWorld) write(n int) {
	for range n {
		require.NoError(w.t, randomwatch.Write(w.ctx, w.r, w.writer))
	}
}

func (w *gapWorld) pause() { time.Sleep(time.Duration(w.r.IntN(3000)) * time.Millisecond) }

// open opens a random watch in the cache's range, whose consumer may be slow.
func (w *gapWorld) open() {
	p := randomwatch.New(w.r, w.cluster.Revision())
	if p.Key < "a/" || p.Key >= "a0" || isEmpty(p) {
		return
	}
	if p.Rev == 0 {
		p.Opts = append(p.Opts, clientv3.WithCreatedNotify())
	}
	g := &gapWatch{Pair: p, opened: w.cluster.Revision()}
	slow := time.Duration(0)
	if w.r.IntN(4) == 0 {
		slow = time.Duration(w.r.IntN(5000)) * time.Millisecond
		p.Opts = append(p.Opts, clientv3.WithWatchBuffer(1+w.r.IntN(2000), 1+w.r.IntN(4)))
	}
	ctx, cancel := context.WithCancel(w.ctx)
	p.Cached, g.cancel = &randomwatch.Log{}, cancel
	go func() {
		for resp := range w.watcher.Watch(ctx, p.Key, p.Opts...) {
			if ctx.Err() == nil {
				p.Cached.Take(&resp)
			}
			_ = backoff.Wait(ctx, slow)
		}
		p.Cached.Ended = true
	}()
	w.watches = append(w.watches, g)
}

// isEmpty reports whether the server refuses the watch, because its range has no keys.
func isEmpty(p *randomwatch.Pair) bool {
	op := opOf(p)
	end := string(op.RangeBytes())
	return end != "" && end != "\x00" && end <= p.Key
}

// opOf returns the key and the options of the pair p as an Op.
func opOf(p *randomwatch.Pair) (op clientv3.Op) {
	op.WithKeyBytes([]byte(p.Key))
	for _, opt := range p.Opts {
		opt(&op)
	}
	return op
}

func (w *gapWorld) cancelOne() {
	if len(w.watches) == 0 {
		return
	}
	g := w.watches[w.r.IntN(len(w.watches))]
	synctest.Wait()
	g.cancel()
	g.finished = true
}

func (w *gapWorld) compact(rev int64) {
	if rev > w.compacted {
		w.compacted = rev
		synctest.Wait() // until w.all has every event
		w.cluster.Compact(rev)
	}
}

// fault breaks a member or a connection that the cache uses, or makes the cache list again.
func (w *gapWorld) fault() {
	switch w.r.IntN(6) {
	case 0:
		w.cluster.Member(1 + w.r.IntN(2)).Cut()
	case 1:
		w.cache.startOver("the test says so")
		w.write(w.r.IntN(5))
	case 2:
		w.outage()
	case 3:
		m := w.cluster.Member(1 + w.r.IntN(2))
		m.Mute()
		w.pause()
		m.Unmute()
	case 4:
		w.compact(w.cluster.Revision() - w.r.Int64N(20))
	case 5:
		_ = w.watcher.RequestProgress(w.ctx)
	}
}

// outage ends all watches of the cache for a while. The cache misses some writes, and perhaps a
// part of them is compacted. The two members close their connections a second apart, so one of them
// can always be reached. Otherwise gRPC would hold a mutex while it tries to open a stream, and the
// test's virtual time stands still while a goroutine waits for a mutex.
func (w *gapWorld) outage() {
	w.refuses.Store(true)
	w.cluster.Member(1).Cut()
	time.Sleep(time.Second)
	w.cluster.Member(2).Cut()
	missed := w.cluster.Revision()
	w.write(1 + w.r.IntN(10))
	if w.r.IntN(2) == 0 {
		w.compact(missed - 5 + w.r.Int64N(w.cluster.Revision()-missed+6))
	}
	w.pause()
	w.refuses.Store(false)
}

// expected returns the events that the watch of the pair p must get from the revision from on.
func (w *gapWorld) expected(p *randomwatch.Pair, from int64) []*mvccpb.Event {
	op := opOf(p)
	create := &memoryWatch{next: from}
	for _, opt := range p.Named {
		switch opt {
		case "prevKV":
			create.prevKV = true
		case "no put":
			create.noPut = true
		case "no delete":
			create.noDelete = true
		}
	}
	in := options{from: string(op.KeyBytes()), end: string(op.RangeBytes())}
	var events []*mvccpb.Event
	state := map[string]*mvccpb.KeyValue{}
	for _, ev := range w.all.Events {
		ch := changeOf(ev)
		ch.Old, state[ch.Key] = state[ch.Key], ch.New
		inRange := in.end == "" && ch.Key == p.Key || in.end != "" && in.contains(ch.Key)
		if inRange && create.wants(&ch) {
			events = append(events, newEvent(&ch, create.prevKV))
		}
	}
	return events
}

// check requires that a watch has got every event since its start. A watch that has ended may lack
// later events. It must have been cancelled, or the events that it lacks must have been compacted.
func (w *gapWorld) check(g *gapWatch) {
	l := g.Cached
	require.Empty(w.t, l.Torn, g.Name)
	from := g.Rev
	if from == 0 {
		from = l.Created + 1
		if !g.finished {
			require.GreaterOrEqual(w.t, l.Created, g.opened, "%s saw what was before", g.Name)
		}
	}
	expected := w.expected(g.Pair, from)
	require.LessOrEqual(w.t, len(l.Events), len(expected), g.Name)
	for i, ev := range l.Events {
		if ev.PrevKv == nil && ev.Kv.ModRevision-1 < w.compacted {
			expected[i].PrevKv = nil // the server had already compacted the old pair
		}
	}
	want, got := randomwatch.Lines(expected), randomwatch.Lines(l.Events)
	require.Equal(w.t, want[:len(got)], got, g.Name)
	for _, notice := range l.Notices {
		require.LessOrEqual(w.t, notice, w.cluster.Revision())
	}
	switch {
	case g.finished:
	case l.Err == rpctypes.ErrCompacted:
		require.LessOrEqual(w.t, l.Compact, w.compacted, g.Name)
		if len(got) > 0 {
			from = max(from, l.Events[len(got)-1].Kv.ModRevision+1)
		}
		require.Less(w.t, from, l.Compact, "%s was told of a compaction of what it has", g.Name)
	default:
		require.NoError(w.t, l.Err, g.Name)
		require.Len(w.t, got, len(want), "%s is stuck after %v", g.Name, got)
	}
}

// TestWatcherHasEveryRevisionOrSaysWhatIsGone opens and cancels random watches through a cache,
// some with slow consumers. The cache loses its own watch, misses changes that are compacted, and
// lists again. A watch must get all its events, or end with the error for compacted revisions.
func TestWatcherHasEveryRevisionOrSaysWhatIsGone(t *testing.T) {
	for seed := range uint64(15) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { watchThroughGaps(t, seed) })
		})
	}
}

func watchThroughGaps(t *testing.T, seed uint64) {
	w := newGapWorld(t, seed)
	defer w.cache.Close()
	for range 60 {
		switch w.r.IntN(6) {
		case 0, 1:
			w.write(w.r.IntN(10))
		case 2, 3:
			w.open()
		case 4:
			w.fault()
		case 5:
			w.cancelOne()
		}
		if w.r.IntN(2) == 0 {
			w.pause()
		}
	}
	time.Sleep(time.Minute)
	w.write(5)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	require.NoError(t, w.all.Err)
	for _, g := range w.watches {
		w.check(g)
	}
	require.NoError(t, w.watcher.Close())
}
