package main

import (
	"context"
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// answerScenarios lose the members' responses. The members still apply the requests.
var answerScenarios = []scenario{
	{
		name:  "write answers lost",
		about: "Each member's answers are lost for 150 ms at a time, then its connections.",
		plan: record.Plan{Readers: 4, Writers: 8, Watches: true, Leases: 200, TTL: 5,
			Registers: 6},
		fault: loseAnswers,
	},
	{
		name: "grant answers lost", about: "The same while eight callers grant leases.",
		plan: record.Plan{Readers: 2, Granters: 8}, fault: loseAnswers,
	},
}

// loseAnswers takes the members in turn. For a short time it drops all that a member sends to the
// client. It then resets the connections that lost something.
func loseAnswers(ctx context.Context, b *bed) error {
	const rounds, lost, pause = 15, 150 * time.Millisecond, 100 * time.Millisecond
	for i := range rounds {
		p := b.proxies[i%memberCount]
		p.Drop(faultnet.ToClient)
		if err := wait(ctx, lost); err != nil {
			return err
		}
		p.Heal()
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}
