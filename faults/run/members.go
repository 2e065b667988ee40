package main

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// atMember returns a step that changes a member.
func atMember(member func(*bed) int, change func(*etcdtest.Member) error) step {
	return func(_ context.Context, b *bed) error { return change(b.member(member(b))) }
}

func kill(m *etcdtest.Member) error {
	m.Kill()
	return nil
}

// memberScenarios are faults of the members.
var memberScenarios = []scenario{
	{
		name: "member killed", about: "A follower is killed, and started again.",
		plan: usualLoad, length: 4 * time.Second, compact: true,
		fault: atMember(aFollower, kill),
		heal:  atMember(aFollower, (*etcdtest.Member).Restart),
	},
	{
		name: "leader killed", about: "The leader is killed, and started again.",
		plan: usualLoad, length: 4 * time.Second, compact: true,
		fault: atMember(theLeader, kill),
		heal:  atMember(theLeader, (*etcdtest.Member).Restart),
	},
	{
		name: "SIGSTOP", about: "A follower is stopped; its connections stay open.",
		plan: usualLoad, length: 6 * time.Second, compact: true,
		fault: atMember(aFollower, (*etcdtest.Member).Pause),
		heal:  atMember(aFollower, (*etcdtest.Member).Resume),
	},
	{
		name: "rolling restart", about: "One member after the other is restarted.",
		plan: usualLoad, length: 500 * time.Millisecond, compact: true,
		fault: func(_ context.Context, b *bed) error {
			for _, m := range b.Members() {
				if err := m.Terminate(); err != nil {
					return err
				}
				if err := m.Restart(); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "all down", about: "All members are killed, and started again 3 s later.",
		plan: withTTL(10), length: 3 * time.Second,
		fault: func(_ context.Context, b *bed) error { b.Kill(); return nil },
		heal:  func(_ context.Context, b *bed) error { return b.Restart() },
	},
	{
		name:  "member replaced",
		about: "A member is added and a follower removed; the client follows the list of members.",
		plan:  withSync(), length: 3 * time.Second, compact: true, fault: replaceFollower,
	},
}

// replaceFollower adds a member and removes a follower.
func replaceFollower(ctx context.Context, b *bed) error {
	if _, err := b.AddMember(false); err != nil {
		return err
	}
	old := b.member(b.follower())
	_, err := pb.NewClusterClient(b.conns[b.leader]).MemberRemove(ctx,
		&pb.MemberRemoveRequest{ID: old.ID()})
	old.Kill()
	return err
}

// withSync returns the usual load with a client that asks for the members every second.
func withSync() record.Plan {
	plan := usualLoad
	plan.AutoSyncSeconds = 1
	return plan
}
