package main

import (
	"context"
	"time"

	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// atProxy returns a step that changes the proxy of a member.
func atProxy(member func(*bed) int, change func(*faultnet.Proxy)) step {
	return func(_ context.Context, b *bed) error {
		change(b.proxies[member(b)])
		return nil
	}
}

func theLeader(b *bed) int { return b.leader }
func aFollower(b *bed) int { return b.follower() }

// healed ends the faults of a proxy, and resets its connections. The reset stands for real
// networks, where a connection that has lost packets for seconds does not recover soon.
func healed(p *faultnet.Proxy) { p.Heal(); p.Reset() }

// networkScenarios are faults of the network between the client and the members.
var networkScenarios = []scenario{
	{
		name: "blackhole", about: "Nothing passes between the client and a follower.",
		plan: usualLoad, length: 6 * time.Second, compact: true,
		fault: atProxy(aFollower, func(p *faultnet.Proxy) { p.Blackhole(faultnet.Both) }),
		heal:  atProxy(aFollower, healed),
	},
	{
		name: "one way", about: "What a follower sends does not reach the client.",
		plan: usualLoad, length: 6 * time.Second, compact: true,
		fault: atProxy(aFollower, func(p *faultnet.Proxy) { p.Blackhole(faultnet.ToClient) }),
		heal:  atProxy(aFollower, healed),
	},
	{
		name: "slow", about: "A round trip to a follower takes 400 ms.",
		plan: usualLoad, length: 5 * time.Second, compact: true,
		fault: atProxy(aFollower, func(p *faultnet.Proxy) { p.Delay(200 * time.Millisecond) }),
		heal:  atProxy(aFollower, (*faultnet.Proxy).Heal),
	},
	{
		name: "reset", about: "All connections are reset every half second.",
		plan: usualLoad, length: 500 * time.Millisecond, compact: true,
		fault: resetOften,
	},
	{
		name:  "leader cut off",
		about: "Nothing passes between the client and the leader, which goes on to lead.",
		plan:  usualLoad, length: 6 * time.Second, compact: true,
		fault: atProxy(theLeader, func(p *faultnet.Proxy) { p.Blackhole(faultnet.Both) }),
		heal:  atProxy(theLeader, healed),
	},
}

// resetOften resets all connections every half second, for four seconds.
func resetOften(ctx context.Context, b *bed) error {
	for range 8 {
		for _, p := range b.proxies {
			p.Reset()
		}
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
