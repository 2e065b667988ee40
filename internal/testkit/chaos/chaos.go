// Package chaos runs a cluster of three real members, each behind a proxy, and breaks it in random
// ways: members are killed, stopped, cut off in either direction, and disconnected. The kind, the
// place and the length of each fault follow from a seed, which is printed. CHAOS_SEED sets it.
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

// Cluster is three members and their proxies. Its Endpoints are the members' own, past the proxies.
type Cluster struct {
	*etcdtest.Cluster

	tb      testing.TB
	rng     *rand.Rand // of Break
	proxies []*faultnet.Proxy
}

// Start starts a cluster that is stopped with the test.
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

// ProxyEndpoints returns the endpoints of the proxies, for clients that faults of the network hit.
func (c *Cluster) ProxyEndpoints() []string {
	var endpoints []string
	for _, p := range c.proxies {
		endpoints = append(endpoints, p.Addr())
	}
	return endpoints
}

// Break makes one fault after the other until ctx ends. Each lasts up to longest, with pauses of up
// to half of that in between. It ends the last fault and returns their number. A majority runs all
// the time, but one fault in ten cuts all clients off from all members.
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

// kinds are the faults of one member. Each makes it unusable until last returns.
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
		p.Drop(faultnet.ToClient) // the answers are lost for good
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
