// Package chaos runs a cluster of three real members, each behind a proxy, and breaks the cluster
// in random ways: members are killed, stopped, cut off in one or both directions, and disconnected.
// The kind, the member and the length of each fault follow from a seed, which is printed. The
// environment variable CHAOS_SEED sets the seed.
package chaos

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

const members = 3

// Cluster is three members and their proxies. Cluster.Endpoints returns the members' own endpoints,
// which bypass the proxies.
type Cluster struct {
	*etcdtest.Cluster

	tb      testing.TB
	rng     *rand.Rand // chooses the faults; used only by Break
	proxies []*faultnet.Proxy
}

// Start starts a cluster. The end of the test stops it.
func Start(tb testing.TB) *Cluster {
	tb.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(tb, err)
	}
	tb.Logf("seed: CHAOS_SEED=%d", seed)
	c := &Cluster{
		Cluster: etcdtest.Start(tb, etcdtest.WithMembers(members)),
		tb:      tb,
		rng:     rand.New(rand.NewPCG(seed, 0)),
	}
	for _, m := range c.Members() {
		c.proxies = append(c.proxies, faultnet.New(tb, m.Address()))
	}
	return c
}

// ProxyEndpoints returns the endpoints of the proxies. Faults of the network affect only clients
// that use these endpoints.
func (c *Cluster) ProxyEndpoints() []string {
	var endpoints []string
	for _, p := range c.proxies {
		endpoints = append(endpoints, p.Addr())
	}
	return endpoints
}

// Break makes one fault after the other until ctx ends, and returns their number. The duration
// longest bounds each fault, and half of it bounds each pause between two faults. Break ends its
// last fault before it returns.
//
// A majority of the members runs all the time. One fault in ten cuts off all proxies, so that their
// clients reach no member.
func (c *Cluster) Break(ctx context.Context, longest time.Duration) (faults int) {
	for ctx.Err() == nil {
		lasting := time.Duration(c.rng.Int64N(int64(longest)))
		pause := time.Duration(c.rng.Int64N(int64(longest) / 2))
		i, kind := c.rng.IntN(members), c.rng.IntN(len(kinds))
		everything := c.rng.IntN(10) == 0
		if everything {
			for _, p := range c.proxies {
				p.Blackhole(faultnet.Both)
			}
			_ = backoff.Wait(ctx, lasting)
			for _, p := range c.proxies {
				p.Heal()
			}
		} else {
			kinds[kind](c, c.Members()[i], c.proxies[i], func() { _ = backoff.Wait(ctx, lasting) })
		}
		faults++
		_ = backoff.Wait(ctx, pause)
	}
	return faults
}

// kinds are the faults of a single member. Each function makes the member unusable, calls its
// parameter last, which blocks for the length of the fault, and then ends the fault.
var kinds = []func(c *Cluster, m *etcdtest.Member, p *faultnet.Proxy, last func()){
	func(c *Cluster, m *etcdtest.Member, _ *faultnet.Proxy, last func()) {
		m.Kill()
		last()
		assert.NoError(c.tb, m.Restart())
	},
	func(c *Cluster, m *etcdtest.Member, _ *faultnet.Proxy, last func()) {
		assert.NoError(c.tb, m.Pause())
		last()
		assert.NoError(c.tb, m.Resume())
	},
	cutOff(faultnet.Both), cutOff(faultnet.ToServer), cutOff(faultnet.ToClient),
	func(_ *Cluster, _ *etcdtest.Member, p *faultnet.Proxy, last func()) {
		p.Refuse()
		p.Reset()
		last()
		p.Heal()
	},
	func(_ *Cluster, _ *etcdtest.Member, p *faultnet.Proxy, last func()) {
		p.Drop(faultnet.ToClient) // responses are lost for good
		last()
		p.Heal()
	},
}

func cutOff(dir faultnet.Direction) func(*Cluster, *etcdtest.Member, *faultnet.Proxy, func()) {
	return func(_ *Cluster, _ *etcdtest.Member, p *faultnet.Proxy, last func()) {
		p.Blackhole(dir)
		last()
		p.Heal()
	}
}
