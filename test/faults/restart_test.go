package faults_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/connectivity"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// restartTable has the faults after which members or connections start anew.
var restartTable = []faultRow{
	{"killed member", 6 * time.Second, 2 * time.Second, aFollower, 0.6, faultWriters,
		3500 * time.Millisecond, func(b *bench3, member int, on bool) {
			m := b.cluster.Members()[member]
			if on {
				m.Kill()
			} else {
				require.NoError(b.t, m.Restart())
			}
		}},
	// Two kinds of writes fail: those in flight, and those that members drop during the election.
	{"killed leader", 6 * time.Second, 3 * time.Second, theLeader, 0.6, 3 * faultWriters,
		3500 * time.Millisecond, func(b *bench3, member int, on bool) {
			m := b.cluster.Members()[member]
			if on {
				m.Kill()
			} else {
				require.NoError(b.t, m.Restart())
			}
		}},
	{"all connections reset", 3 * time.Second, time.Second, aFollower, 0.6, 2 * faultWriters,
		3500 * time.Millisecond, func(b *bench3, _ int, on bool) {
			for _, p := range b.proxies {
				if on {
					p.Reset()
				}
			}
		}},
	{"rolling restart", 6 * time.Second, 2 * time.Second, allMembers, 0.3, 3 * faultWriters,
		3500 * time.Millisecond, func(b *bench3, _ int, on bool) {
			for _, m := range b.cluster.Members() {
				if on {
					require.NoError(b.t, m.Terminate())
					require.NoError(b.t, m.Restart())
				}
			}
		}},
}

// TestRestartTable: while members restart, no read fails, and no more writes fail than were in
// flight.
func TestRestartTable(t *testing.T) {
	for _, row := range restartTable {
		t.Run(row.name, func(t *testing.T) { row.run(newBench3(t, clientv3.Config{})) })
	}
}

// TestRestraintWhileTheClusterIsDown: while all members refuse connections, the client tries to
// connect less and less often. No request fails: all are served soon after the members return.
func TestRestraintWhileTheClusterIsDown(t *testing.T) {
	const callers, outage = 100, 6 * time.Second
	b := newBench3(t, clientv3.Config{})
	_, err := b.client.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	accepted := func() (n int) {
		for _, p := range b.proxies {
			n += p.Accepted()
		}
		return n
	}
	for _, p := range b.proxies {
		p.Refuse()
		p.Reset()
	}
	testclient.Eventually(t, func() bool {
		return b.client.ActiveConnection().GetState() != connectivity.Ready
	}, "the client has seen the connections end")
	var calls sync.WaitGroup
	for range callers {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := b.client.Put(ctx, "k", "v")
			assert.NoError(t, err)
		})
	}
	var perSecond []float64
	for range outage / time.Second {
		before, start := accepted(), time.Now()
		time.Sleep(time.Second)
		perSecond = append(perSecond, float64(accepted()-before)/time.Since(start).Seconds())
	}
	t.Log("connection attempts a second:", perSecond)
	last := perSecond[len(perSecond)-1]
	assert.LessOrEqual(t, last, 6.0, "at most two attempts a second at each of three members")
	assert.Less(t, last, perSecond[0])
	for _, p := range b.proxies {
		p.Heal()
	}
	serving := testclient.Stopwatch(t)
	calls.Wait()
	assert.Less(t, serving(), 2*time.Second, "all are served soon after the members return")
}

// TestHealthyMembersShareEvenly: each of three healthy members gets a third of the requests, give
// or take 5 %, although their latencies differ. With 64 callers, a member often has four more
// requests in flight than the least busy member; the client must still use this member. Time is
// virtual, so the latencies do not depend on the machine.
func TestHealthyMembersShareEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t, etcdfake.WithMembers(3))
		var calls [3]atomic.Int64
		serve := func(call *etcdfake.Call) etcdfake.Action {
			calls[call.Member].Add(1)
			quickest := 2*time.Millisecond + time.Duration(call.Member)*time.Millisecond/2
			return etcdfake.Delay(quickest + rand.N(2*time.Millisecond))
		}
		cluster.On("Range", serve)
		cluster.On("Put", serve)
		c := cluster.Client()
		synctest.Wait() // all members are connected
		var work sync.WaitGroup
		for i := range 64 {
			work.Go(func() {
				for n := range 150 {
					var err error
					if (i+n)%4 == 0 {
						_, err = c.Put(t.Context(), "k", "v")
					} else {
						_, err = c.Get(t.Context(), "k")
					}
					assert.NoError(t, err)
				}
			})
		}
		work.Wait()
		got := []int64{calls[0].Load(), calls[1].Load(), calls[2].Load()}
		t.Log(got)
		fair := float64(got[0]+got[1]+got[2]) / 3
		for i := range got {
			assert.InDelta(t, fair, got[i], 0.05*fair)
		}
	})
}
