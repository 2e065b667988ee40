//go:build unix

package linearizability

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

const (
	leasingClients = 4
	plainClients   = 2
	clients        = leasingClients + plainClients

	// overTTL is long enough for a lease to expire, and then for other clients to write the keys
	// that its client owned.
	overTTL = (leaseTTL + 2) * time.Second
)

// trial is a cluster with client processes. Each client process has proxies of its own.
type trial struct {
	t       *testing.T
	rnd     *rand.Rand
	cluster *etcdtest.Cluster
	proxies [clients][]*faultnet.Proxy
	procs   [clients]*process

	incidents []incident
	kills     int
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	tr := &trial{t: t, rnd: rand.New(rand.NewPCG(seed, 0)),
		cluster: etcdtest.Start(t, etcdtest.WithMembers(3))}
	for i := range clients {
		var eps []string
		for _, m := range tr.cluster.Members() {
			p := faultnet.New(t, m.Address())
			tr.proxies[i] = append(tr.proxies[i], p)
			eps = append(eps, p.Addr())
		}
		tr.procs[i] = start(t, job{Client: i, Endpoints: eps, Leasing: i < leasingClients,
			Seed: seed})
	}
	for _, p := range tr.procs {
		p.waitReady()
	}
	return tr
}

// aLeasing picks a client that has a leasing KV.
func (tr *trial) aLeasing() int { return tr.rnd.IntN(leasingClients) }

// faults are what a trial does while the clients work.
var faults = []struct {
	name string
	run  func(tr *trial)
}{
	{"clients are stopped for longer than their leases live", func(tr *trial) {
		tr.stop(0, 1, 2)
	}},
	{"the leader is killed", func(tr *trial) {
		m := tr.cluster.Leader()
		m.Kill()
		tr.killed(m.Running())
		time.Sleep(time.Second)
		require.NoError(tr.t, m.Restart())
	}},
	{"a client is cut off for longer than its lease lives", func(tr *trial) {
		tr.cutOff(tr.aLeasing(), overTTL)
	}},
	{"clients are stopped while a member is killed", func(tr *trial) {
		m := tr.cluster.Members()[tr.rnd.IntN(3)]
		m.Kill()
		tr.killed(m.Running())
		tr.stop(1, 2, 3)
		require.NoError(tr.t, m.Restart())
	}},
	{"a client is cut off for a moment, another one stopped", func(tr *trial) {
		tr.cutOff(tr.rnd.IntN(clients), time.Second)
		tr.stop(tr.aLeasing())
	}},
	{"a member is stopped", func(tr *trial) {
		m := tr.cluster.Members()[tr.rnd.IntN(3)]
		require.NoError(tr.t, m.Pause())
		time.Sleep(2 * time.Second)
		require.NoError(tr.t, m.Resume())
	}},
}

// cutOff blocks the traffic between one client and all members for the time d, in one direction or
// in both.
func (tr *trial) cutOff(client int, d time.Duration) {
	dir := []faultnet.Direction{faultnet.Both, faultnet.ToServer, faultnet.ToClient}[tr.rnd.IntN(3)]
	for _, p := range tr.proxies[client] {
		p.Blackhole(dir)
	}
	tr.happened(cutOff, func() { time.Sleep(d) }, client)
	for _, p := range tr.proxies[client] {
		p.Heal()
	}
}

// stop stops leasing clients while they read, for longer than their leases live.
func (tr *trial) stop(who ...int) {
	for _, client := range who {
		tr.procs[client].readEagerly(true)
	}
	time.Sleep(300 * time.Millisecond)
	for _, client := range who {
		tr.procs[client].signal(syscall.SIGSTOP)
	}
	tr.happened(stopped, func() { time.Sleep(overTTL) }, who...)
	for _, client := range who {
		tr.procs[client].signal(syscall.SIGCONT)
		tr.procs[client].readEagerly(false)
	}
}

// round lets all clients work on new keys during one fault.
func (tr *trial) round(n int) {
	fault := faults[n%len(faults)]
	tr.t.Logf("round %d: %s", n, fault.name)
	var ks []string
	for i := range 8 {
		ks = append(ks, fmt.Sprintf("%d/%d", n, i))
	}
	for _, p := range tr.procs {
		p.send(order{Keys: ks})
	}
	time.Sleep(800 * time.Millisecond)
	fault.run(tr)
	time.Sleep(800 * time.Millisecond)
}

// run runs the given number of rounds, each with one fault, and checks the events of the clients.
func (tr *trial) run(rounds int) {
	for n := range rounds {
		tr.round(n)
	}
	var all []event
	var byClient [clients][]event
	for i, p := range tr.procs {
		events, sum := p.finish()
		tr.t.Logf("client %d: %d operations, %d requests", i, len(events), sum.Requests)
		if i < leasingClients {
			require.Less(tr.t, sum.Requests, int64(len(events)), "reads from its cache")
		}
		all = append(all, events...)
		byClient[i] = events
	}
	require.Greater(tr.t, len(all), 500*rounds)
	tr.checkIncidents(byClient)
	check(tr.t, all)
}

// TestHistoriesAreLinearizable: during each fault, the operations of all clients on a key are
// linearizable.
func TestHistoriesAreLinearizable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	newTrial(t, seed).run(len(faults))
}
