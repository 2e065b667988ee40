package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// watchPair is one watch on the server, and the same one through a cache.
type watchPair struct {
	name           string
	key            string
	opts           []clientv3.OpOption
	named          []string // what the options are
	rev            int64
	server, cached *watchLog
}

// watchLog is what one watch has delivered.
type watchLog struct {
	created int64 // the revision of the first response, if it says that the watch was created
	events  []*mvccpb.Event
	compact int64
	err     error
	ended   bool
	notices []int64
	torn    string // how a revision was divided between responses
}

// take takes one response.
func (l *watchLog) take(resp *clientv3.WatchResponse) {
	switch {
	case resp.Created:
		l.created = resp.Header.Revision
	case resp.IsProgressNotify():
		l.notices = append(l.notices, resp.Header.Revision)
	}
	if n := len(l.events); n > 0 && len(resp.Events) > 0 {
		last, next := l.events[n-1].Kv.ModRevision, resp.Events[0].Kv.ModRevision
		if next <= last {
			l.torn = fmt.Sprintf("revision %d came after %d", next, last)
		}
	}
	l.events = append(l.events, resp.Events...)
	if resp.Canceled {
		l.err, l.compact = resp.Err(), resp.CompactRevision
	}
}

// follow reads a watch to its end.
func (l *watchLog) follow(ch clientv3.WatchChan) {
	for resp := range ch {
		l.take(&resp)
	}
	l.ended = true
}

// lines returns the events as text.
func lines(events []*mvccpb.Event) []string {
	all := []string{}
	for _, ev := range events {
		all = append(all, fmt.Sprintf("%d %v %s | %s", ev.Kv.ModRevision, ev.Type, pairText(ev.Kv),
			pairText(ev.PrevKv)))
	}
	return all
}

func pairText(kv *mvccpb.KeyValue) string {
	if kv == nil {
		return "-"
	}
	return fmt.Sprintf("%s=%q v%d c%d m%d l%d", kv.Key, kv.Value, kv.Version, kv.CreateRevision,
		kv.ModRevision, kv.Lease)
}

// randomWatch returns a watch with random options. All watches begin at newest or before, in the
// future, or from now on.
func randomWatch(r *rand.Rand, newest int64) *watchPair {
	p := &watchPair{}
	add := func(name string, opt clientv3.OpOption) {
		p.named, p.opts = append(p.named, name), append(p.opts, opt)
	}
	p.key = fmt.Sprintf("a/%02d", r.IntN(12))
	switch r.IntN(8) {
	case 0:
		add("prefix", clientv3.WithPrefix())
	case 1:
		p.key = "a/"
		add("prefix", clientv3.WithPrefix())
	case 2:
		add("range", clientv3.WithRange(fmt.Sprintf("a/%02d", r.IntN(14))))
	case 3:
		p.key = []string{"a/", "", "b"}[r.IntN(3)]
		add("from", clientv3.WithFromKey())
	case 4:
		p.key = []string{"b/1", "a", "", "a/x"}[r.IntN(4)]
	}
	switch r.IntN(4) {
	case 0, 1:
		p.rev = 1 + r.Int64N(newest)
	case 2:
		p.rev = newest + r.Int64N(8)
	}
	if p.rev != 0 {
		add(fmt.Sprint("rev ", p.rev), clientv3.WithRev(p.rev))
	}
	for name, opt := range map[string]clientv3.OpOption{
		"prevKV": clientv3.WithPrevKV(), "fragment": clientv3.WithFragment(),
		"created": clientv3.WithCreatedNotify(), "progress": clientv3.WithProgressNotify(),
	} {
		if r.IntN(2) == 0 {
			add(name, opt)
		}
	}
	switch r.IntN(6) {
	case 0:
		add("no put", clientv3.WithFilterPut())
	case 1:
		add("no delete", clientv3.WithFilterDelete())
	}
	p.name = fmt.Sprintf("%q %s", p.key, strings.Join(p.named, ", "))
	return p
}

// open opens both watches.
func (p *watchPair) open(ctx context.Context, server, cached clientv3.Watcher) {
	p.server, p.cached = &watchLog{}, &watchLog{}
	go p.server.follow(server.Watch(ctx, p.key, p.opts...))
	go p.cached.follow(cached.Watch(ctx, p.key, p.opts...))
}

// compare requires that both watches have delivered the same. A watch through a cache may have seen
// what the server has compacted.
func (p *watchPair) compare(t *testing.T, inHistory bool) {
	require.Empty(t, p.cached.torn, p.name)
	if p.server.err == rpctypes.ErrCompacted && p.cached.err == nil && inHistory {
		return
	}
	require.Equal(t, p.server.err, p.cached.err, p.name)
	require.Equal(t, p.server.compact, p.cached.compact, p.name)
	require.Equal(t, lines(p.server.events), lines(p.cached.events), p.name)
	require.Equal(t, p.server.created != 0, p.cached.created != 0, p.name)
	require.Equal(t, p.server.ended, p.cached.ended, p.name)
	if p.rev == 0 {
		require.Equal(t, p.server.created, p.cached.created, p.name)
	}
}

// randomWrite makes one write, which may have several changes.
func randomWrite(ctx context.Context, r *rand.Rand, kv clientv3.KV) error {
	key := fmt.Sprintf("a/%02d", r.IntN(12))
	value := fmt.Sprint(r.IntN(1000))
	ops := []clientv3.Op{clientv3.OpPut(key, value)}
	switch r.IntN(8) {
	case 0, 1:
		ops = []clientv3.Op{clientv3.OpDelete(key)}
	case 2:
		ops = []clientv3.Op{clientv3.OpDelete(key, clientv3.WithRange(key[:3]+"8"))}
	case 3:
		ops = []clientv3.Op{clientv3.OpPut("b/1", value)}
	case 4:
		ops = append(ops, clientv3.OpPut(key+"x", value), clientv3.OpDelete("a/x"),
			clientv3.OpPut("b/2", value))
	}
	_, err := kv.Txn(ctx).Then(ops...).Commit()
	return err
}

// TestWatcherDeliversWhatAServerWatchDelivers opens random watches on the server and through a
// cache while keys are written, and compares all events.
func TestWatcherDeliversWhatAServerWatchDelivers(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { compareRandomWatches(t, seed) })
		})
	}
}

func compareRandomWatches(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	cluster := etcdfake.New(t)
	client := cluster.Client()
	for range 30 {
		require.NoError(t, randomWrite(t.Context(), r, client))
	}
	history := []int64{0, 2000, 1 << 20}[r.IntN(3)]
	c, err := New(client, "a/", WithHistory(history))
	require.NoError(t, err)
	defer c.Close()
	watcher := c.Watcher()
	require.NoError(t, c.WaitSynced(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pairs []*watchPair
	for range 15 {
		for range 1 + r.IntN(8) {
			require.NoError(t, randomWrite(t.Context(), r, client))
		}
		for range 4 {
			p := randomWatch(r, cluster.Revision())
			synctest.Wait()
			p.open(ctx, client, watcher)
			pairs = append(pairs, p)
		}
		synctest.Wait()
	}
	for range 10 {
		require.NoError(t, randomWrite(t.Context(), r, client))
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	for _, p := range pairs {
		p.compare(t, false)
	}
	require.NoError(t, watcher.Close())
	synctest.Wait()
	for _, p := range pairs {
		require.True(t, p.cached.ended, "%s must end with its Watcher", p.name)
	}
}
