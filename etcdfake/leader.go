package etcdfake

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
)

// LoseLeader leaves the cluster without a leader until the test calls restore. Without a leader:
//
//   - Leases do not expire.
//   - Writes and linearizable reads wait for a leader, and fail after 7 seconds.
//   - Calls that require a leader in their metadata fail at once.
//   - Open streams that require a leader in their metadata end after 3 seconds.
//
// The option WithElectionTimeout changes these times.
//
// restore makes the first member the leader of a new term. As with a new leader in etcd, every
// lease then lives for its full TTL plus the election timeout.
func (c *Cluster) LoseLeader() (restore func()) {
	c.store.LoseLeader()
	c.mu.Lock()
	defer c.mu.Unlock()
	back := make(chan struct{})
	c.leaderBack = back
	if c.noLeader != nil {
		c.noLeader.Stop()
	}
	if !c.closed {
		c.noLeader = time.AfterFunc(c.opts.leaderlessStreams(), c.endLeaderless)
	}
	return func() { c.restoreLeader(back) }
}

func (c *Cluster) restoreLeader(back chan struct{}) {
	c.mu.Lock()
	current := c.leaderBack == back
	select {
	case <-back:
		current = false
	default:
	}
	if !current {
		c.mu.Unlock()
		return
	}
	if c.noLeader != nil {
		c.noLeader.Stop()
		c.noLeader = nil
	}
	c.mu.Unlock()
	c.store.Elect(c.members[0].id)
	close(back)
}

// awaitLeader waits until there is a leader. If there is none within requestTimeout, it returns the
// caller's error in late. If ctx ends first, it returns the gRPC status of the error of ctx.
func (c *Cluster) awaitLeader(ctx context.Context, late error) error {
	c.mu.Lock()
	back := c.leaderBack
	c.mu.Unlock()
	select {
	case <-back:
		return nil
	default:
	}
	timer := time.NewTimer(c.opts.requestTimeout())
	defer timer.Stop()
	select {
	case <-back:
		return nil
	case <-timer.C:
		return late
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// endLeaderless ends the streams that require a leader.
func (c *Cluster) endLeaderless() {
	for _, m := range c.members {
		m.mu.Lock()
		streams := m.openStreams()
		m.mu.Unlock()
		for _, s := range streams {
			if requiresLeader(s.Context()) {
				s.end(rpctypes.ErrGRPCNoLeader)
			}
		}
	}
}
