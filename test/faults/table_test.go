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

// bench3 has three real members, a proxy in front of each, and a client of the proxies under load.
type bench3 struct {
	t       *testing.T
	cluster *etcdtest.Cluster
	proxies []*faultnet.Proxy
	client  *clientv3.Client
	leader  int // the leader's index before the fault

	reads, writes             atomic.Int64
	failedReads, failedWrites atomic.Int64
	lastEvent                 atomic.Int64 // Unix nanoseconds
	stall                     atomic.Int64 // the longest gap between two events
}

func newBench3(t *testing.T, cfg clientv3.Config) *bench3 {
	b := &bench3{t: t, cluster: etcdtest.Start(t, etcdtest.WithMembers(3))}
	for _, m := range b.cluster.Members() {
		p := faultnet.New(t, strings.TrimPrefix(m.Endpoint(), "http://"))
		b.proxies = append(b.proxies, p)
		cfg.Endpoints = append(cfg.Endpoints, p.Addr())
	}
	b.client = testclient.New(t, cfg)
	leader, err := b.cluster.WaitLeader(t.Context())
	require.NoError(t, err)
	b.leader = slices.Index(b.cluster.Members(), leader)
	return b
}

// load runs readers, writers and one watcher until ctx ends. The function that it returns waits for
// them.
func (b *bench3) load(ctx context.Context) (wait func()) {
	var work sync.WaitGroup
	for range faultReaders {
		work.Go(func() {
			b.repeat(ctx, &b.reads, &b.failedReads, func(ctx context.Context) error {
				_, err := b.client.Get(ctx, "k")
				return err
			})
		})
	}
	for range faultWriters {
		work.Go(func() {
			b.repeat(ctx, &b.writes, &b.failedWrites, func(ctx context.Context) error {
				_, err := b.client.Put(ctx, "k", "v")
				return err
			})
		})
	}
	b.lastEvent.Store(time.Now().UnixNano())
	events := b.client.Watch(ctx, "k")
	work.Go(func() {
		for range events {
			now := time.Now().UnixNano()
			b.stall.Store(max(b.stall.Load(), now-b.lastEvent.Swap(now)))
		}
	})
	return work.Wait
}

func (b *bench3) repeat(
	ctx context.Context, ok, failed *atomic.Int64, call func(context.Context) error,
) {
	for ctx.Err() == nil {
		// A context of its own: the end of the load would fail the call.
		one, cancel := context.WithTimeout(context.Background(), faultCall)
		err := call(one)
		cancel()
		if err == nil {
			ok.Add(1)
			continue
		}
		failed.Add(1)
		b.t.Log(err)
	}
}

// done returns how many calls have succeeded so far.
func (b *bench3) done() int64 { return b.reads.Load() + b.writes.Load() }

// rate returns how many calls a second succeed during the next d.
func (b *bench3) rate(d time.Duration) float64 {
	before := b.done()
	time.Sleep(d)
	return float64(b.done()-before) / d.Seconds()
}

// faultRow is a row of the table of faults.
type faultRow struct {
	name         string
	long, short  time.Duration
	throughput   float64 // at least, relative to the throughput before the fault
	failedWrites int64   // at most
	stall        time.Duration
	fault        func(b *bench3, on bool)
}

var faultTable = []faultRow{
	{"stopped member", 10 * time.Second, 4 * time.Second, 0.6, faultWriters, 4 * time.Second,
		func(b *bench3, on bool) {
			m := b.cluster.Members()[(b.leader+1)%3]
			if on {
				require.NoError(b.t, m.Pause())
			} else {
				require.NoError(b.t, m.Resume())
			}
		}},
	{"blackholed member", 10 * time.Second, 4 * time.Second, 0.6, faultWriters, 4 * time.Second,
		func(b *bench3, on bool) {
			cutOff(b.proxies[1], on, faultnet.Both)
		}},
	{"one direction lost", 6 * time.Second, 3 * time.Second, 0.6, faultWriters, 4 * time.Second,
		func(b *bench3, on bool) {
			cutOff(b.proxies[2], on, faultnet.ToClient)
		}},
	{"leader cut off from the client", 8 * time.Second, 3 * time.Second, 0.6, faultWriters,
		4 * time.Second, func(b *bench3, on bool) {
			cutOff(b.proxies[b.leader], on, faultnet.Both)
		}},
	{"slow member", 8 * time.Second, 6 * time.Second, 0.6, 0, faultCall, func(b *bench3, on bool) {
		if on {
			b.proxies[0].Delay(200 * time.Millisecond) // each way
		} else {
			b.proxies[0].Heal()
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
// last longer if ETCD_FAULTS is long.
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

func (row faultRow) run(b *bench3) {
	length := row.short
	if os.Getenv("ETCD_FAULTS") == "long" {
		length = row.long
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	wait := b.load(ctx)
	b.rate(500 * time.Millisecond) // warms up
	before := b.rate(1500 * time.Millisecond)
	row.fault(b, true)
	during := b.rate(length)
	row.fault(b, false)
	after := b.rate(time.Second)
	cancel()
	wait()
	b.t.Logf("%.0f a second before, %.0f during (%.0f %%), %.0f after; failed: %d reads, %d writes; stall %v",
		before, during, 100*during/before, after, b.failedReads.Load(), b.failedWrites.Load(),
		time.Duration(b.stall.Load()))
	assert.Zero(b.t, b.failedReads.Load(), "failed reads")
	assert.LessOrEqual(b.t, b.failedWrites.Load(), row.failedWrites, "failed writes")
	assert.Greater(b.t, during, row.throughput*before, "throughput")
	assert.Less(b.t, time.Duration(b.stall.Load()), row.stall, "stall of the watch")
}
