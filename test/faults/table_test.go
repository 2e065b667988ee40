package faults_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

const (
	faultReaders = 16
	faultWriters = 4
	faultCall    = 2 * time.Second // each call's deadline
)

// bench3 has three real members with a proxy in front of each. A client reads, writes and watches
// through the proxies. The embedded load is the work of this client.
type bench3 struct {
	*load
	cluster *etcdtest.Cluster
	proxies []*faultnet.Proxy
	leader  int // the leader's index before the fault
}

func newBench3(t *testing.T, cfg clientv3.Config) *bench3 {
	b := &bench3{cluster: etcdtest.Start(t, etcdtest.WithMembers(3))}
	for _, m := range b.cluster.Members() {
		p := faultnet.New(t, strings.TrimPrefix(m.Endpoint(), "http://"))
		b.proxies = append(b.proxies, p)
		cfg.Endpoints = append(cfg.Endpoints, p.Addr())
	}
	b.load = &load{t: t, client: testclient.New(t, cfg)}
	leader, err := b.cluster.WaitLeader(t.Context())
	require.NoError(t, err)
	b.leader = slices.Index(b.cluster.Members(), leader)
	return b
}

// control returns another load, of a client that bypasses the proxies and the faulty member. A busy
// machine and a busy cluster slow the control down, but the fault does not.
func (b *bench3) control(faulty int) *load {
	eps := b.cluster.Endpoints()
	if faulty >= 0 {
		eps = slices.Delete(eps, faulty, faulty+1)
	}
	return &load{t: b.t, client: testclient.New(b.t, clientv3.Config{Endpoints: eps})}
}

// load has readers, writers and one watcher of a client, and counts what they have achieved.
type load struct {
	t      *testing.T
	client *clientv3.Client

	reads, writes             atomic.Int64
	failedReads, failedWrites atomic.Int64
	lastEvent                 atomic.Int64 // Unix nanoseconds
	stall                     atomic.Int64 // the longest gap between two events
}

// start runs the readers, the writers and the watcher until ctx ends. The function that it returns
// waits for them.
func (l *load) start(ctx context.Context) (wait func()) {
	var work sync.WaitGroup
	for range faultReaders {
		work.Go(func() {
			l.repeat(ctx, &l.reads, &l.failedReads, func(ctx context.Context) error {
				_, err := l.client.Get(ctx, "k")
				return err
			})
		})
	}
	for range faultWriters {
		work.Go(func() {
			l.repeat(ctx, &l.writes, &l.failedWrites, func(ctx context.Context) error {
				_, err := l.client.Put(ctx, "k", "v")
				return err
			})
		})
	}
	l.lastEvent.Store(time.Now().UnixNano())
	events := l.client.Watch(ctx, "k")
	work.Go(func() {
		for range events {
			now := time.Now().UnixNano()
			l.stall.Store(max(l.stall.Load(), now-l.lastEvent.Swap(now)))
		}
	})
	return work.Wait
}

func (l *load) repeat(
	ctx context.Context, ok, failed *atomic.Int64, call func(context.Context) error,
) {
	for ctx.Err() == nil {
		// Not derived from ctx: otherwise a call would fail when the load ends.
		one, cancel := context.WithTimeout(context.Background(), faultCall)
		err := call(one)
		cancel()
		if err == nil {
			ok.Add(1)
			continue
		}
		failed.Add(1)
		l.t.Log(err)
	}
}

// done returns how many calls have succeeded so far.
func (l *load) done() int64 { return l.reads.Load() + l.writes.Load() }

// rates returns, for each load, how many calls per second succeed during the next d.
func rates(d time.Duration, loads ...*load) (perSecond []float64) {
	var before []int64
	for _, l := range loads {
		before = append(before, l.done())
	}
	time.Sleep(d)
	for i, l := range loads {
		perSecond = append(perSecond, float64(l.done()-before[i])/d.Seconds())
	}
	return perSecond
}

// faultRow is a row of the table of faults.
type faultRow struct {
	name         string
	long, short  time.Duration
	member       func(leader int) int // the index of the member with the fault
	throughput   float64              // the least allowed share of the throughput before the fault
	failedWrites int64                // the greatest allowed number of failed writes
	stall        time.Duration        // the longest allowed gap between two events of the watch
	fault        func(b *bench3, member int, on bool)
}

func theLeader(leader int) int { return leader }
func aFollower(leader int) int { return (leader + 1) % 3 }
func allMembers(int) int       { return -1 }

var faultTable = []faultRow{
	{"stopped member", 10 * time.Second, 4 * time.Second, aFollower, 0.6, faultWriters,
		4 * time.Second, func(b *bench3, member int, on bool) {
			m := b.cluster.Members()[member]
			if on {
				require.NoError(b.t, m.Pause())
			} else {
				require.NoError(b.t, m.Resume())
			}
		}},
	{"blackholed member", 10 * time.Second, 4 * time.Second, aFollower, 0.6, faultWriters,
		4 * time.Second, func(b *bench3, member int, on bool) {
			cutOff(b.proxies[member], on, faultnet.Both)
		}},
	{"one direction lost", 6 * time.Second, 3 * time.Second, aFollower, 0.6, faultWriters,
		4 * time.Second, func(b *bench3, member int, on bool) {
			cutOff(b.proxies[member], on, faultnet.ToClient)
		}},
	{"leader cut off from the client", 8 * time.Second, 3 * time.Second, theLeader, 0.6,
		faultWriters, 4 * time.Second, func(b *bench3, member int, on bool) {
			cutOff(b.proxies[member], on, faultnet.Both)
		}},
	{"slow member", 8 * time.Second, 6 * time.Second, aFollower, 0.6, 0, faultCall,
		func(b *bench3, member int, on bool) {
			if on {
				b.proxies[member].Delay(200 * time.Millisecond) // each way
			} else {
				b.proxies[member].Heal()
			}
		}},
}

func cutOff(p *faultnet.Proxy, on bool, dir faultnet.Direction) {
	if on {
		p.Blackhole(dir)
		return
	}
	p.Heal()
	p.Reset()
}

// TestFaultTable runs the table of faults with typical settings and with a zero Config. The faults
// last longer with the environment variable ETCD_FAULTS=long.
func TestFaultTable(t *testing.T) {
	for name, cfg := range map[string]clientv3.Config{
		"typical": {DialTimeout: 2 * time.Second, DialKeepAliveTime: 2 * time.Second,
			DialKeepAliveTimeout: time.Second},
		"zero": {},
	} {
		for _, row := range faultTable {
			t.Run(name+"/"+row.name, func(t *testing.T) {
				cfg.Logger = zap.NewNop()
				row.run(newBench3(t, cfg))
			})
		}
	}
}

// run makes the fault while two loads run: the load of b, whose client the fault hits, and the
// control, whose client bypasses the faulty member. A busy machine slows both loads down. So the
// throughput of b may fall below its limit if b keeps its share of the total throughput of the two
// loads. The failures and the stall of the control are added to the other limits.
func (row faultRow) run(b *bench3) {
	length := row.short
	if os.Getenv("ETCD_FAULTS") == "long" {
		length = row.long
	}
	member := row.member(b.leader)
	control := b.control(member)
	ctx, cancel := context.WithCancel(b.t.Context())
	wait, waitControl := b.start(ctx), control.start(ctx)
	rates(500 * time.Millisecond) // warms up
	before := rates(1500*time.Millisecond, b.load, control)
	row.fault(b, member, true)
	during := rates(length, b.load, control)
	row.fault(b, member, false)
	after := rates(time.Second, b.load, control)
	cancel()
	wait()
	waitControl()
	kept := during[0] / before[0]
	if member >= 0 { // the fault is of one member, so the control is free of it
		share := func(rates []float64) float64 { return rates[0] / (rates[0] + rates[1]) }
		kept = max(kept, share(during)/share(before))
	}
	stall, controlStall := time.Duration(b.stall.Load()), time.Duration(control.stall.Load())
	b.t.Logf("%.0f a second before, %.0f during (%.0f %%), %.0f after; failed: %d reads, %d writes; stall %v",
		before[0], during[0], 100*during[0]/before[0], after[0], b.failedReads.Load(),
		b.failedWrites.Load(), stall)
	b.t.Logf("control: %.0f, %.0f, %.0f; failed: %d reads, %d writes; stall %v; %.0f %% kept",
		before[1], during[1], after[1], control.failedReads.Load(), control.failedWrites.Load(),
		controlStall, 100*kept)
	assert.LessOrEqual(b.t, b.failedReads.Load(), control.failedReads.Load(), "failed reads")
	assert.LessOrEqual(b.t, b.failedWrites.Load(), row.failedWrites+control.failedWrites.Load(),
		"failed writes")
	assert.Greater(b.t, kept, row.throughput, "throughput")
	assert.Less(b.t, stall, row.stall+controlStall, "stall of the watch")
}
