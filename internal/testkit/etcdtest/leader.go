package etcdtest

import (
	"context"
	"errors"
	"fmt"
)

var errNoLeader = errors.New("no running member says that it leads")

// WaitLeader waits until a member that runs and is not paused says that it leads, and returns it.
// Its error wraps the cause of ctx's end.
func (c *Cluster) WaitLeader(ctx context.Context) (*Member, error) {
	var leader *Member
	err := poll(ctx, func(ctx context.Context) error {
		for _, m := range c.Members() {
			if m.Running() && m.leads(ctx) {
				leader = m
				return nil
			}
		}
		return errNoLeader
	})
	if err != nil {
		return nil, fmt.Errorf("etcdtest: wait for a leader: %w", err)
	}
	return leader, nil
}

// Leader is [Cluster.WaitLeader] with a limit of two minutes, after which it returns nil.
func (c *Cluster) Leader() *Member {
	ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
	defer cancel()
	leader, err := c.WaitLeader(ctx)
	if err != nil {
		return nil
	}
	return leader
}

// leads asks the metrics, which unlike a Status request need no user.
func (m *Member) leads(ctx context.Context) bool {
	text, err := m.get(ctx, "/metrics")
	if err != nil {
		return false
	}
	all, err := parseMetrics(text)
	return err == nil && all["etcd_server_is_leader"] == 1
}
