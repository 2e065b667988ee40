package etcdtest

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// AddMember adds a voting member or a learner, starts it, and waits until it serves. The new member
// has the same options as the first members. Calls of AddMember must not overlap.
//
// If a cluster of one member gets a second voter, neither can serve without the other. Start such a
// cluster with the slower timings of a larger one, by WithArgs("--heartbeat-interval=50",
// "--election-timeout=500").
func (c *Cluster) AddMember(learner bool) (*Member, error) {
	if err := c.needsEtcd("members that are added"); err != nil {
		return nil, err
	}
	existing := c.Members()
	m, err := newMember(c, len(existing))
	if err != nil {
		return nil, err
	}
	if err := c.adopt(m); err != nil {
		return nil, err
	}
	// A second voter is added as a learner, which does not count for the majority. It is promoted
	// later. If it were a voter at once, the first voter would have no majority. It would then send
	// nothing to the new member for several seconds.
	promote := !learner && len(existing) == 1
	err = c.admin("add member", func(ctx context.Context, conn *grpc.ClientConn) error {
		req := &pb.MemberAddRequest{PeerURLs: []string{m.peerURL}, IsLearner: learner || promote}
		_, err := pb.NewClusterClient(conn).MemberAdd(ctx, req)
		return err
	})
	if err == nil {
		m.configure("--initial-cluster="+initialCluster(append(existing, m)),
			"--initial-cluster-state=existing")
		err = c.join(m, promote)
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s logged:\n%s", err, m.name, m.logEnds(20))
	}
	return m, nil
}

// join starts an added member, waits until it serves, and promotes it if promote is set.
func (c *Cluster) join(m *Member, promote bool) error {
	if err := m.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
	defer cancel()
	if err := m.waitServing(ctx); err != nil || !promote {
		return err
	}
	return c.admin("promote "+m.name, func(ctx context.Context, conn *grpc.ClientConn) error {
		return poll(ctx, func(ctx context.Context) error {
			// the leader refuses the promotion until the learner has caught up
			_, err := pb.NewClusterClient(conn).MemberPromote(ctx,
				&pb.MemberPromoteRequest{ID: m.ID()})
			return err
		})
	})
}

// adopt adds m to the members that Close stops.
func (c *Cluster) adopt(m *Member) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		m.ports.release()
		return fmt.Errorf("%w: add %s", errClosed, m.name)
	}
	c.members = append(c.members, m)
	return nil
}

// Kill ends all members with SIGKILL, and waits until they are gone.
func (c *Cluster) Kill() {
	for _, m := range c.Members() {
		m.Kill()
	}
}

// Restart resumes paused members, and starts again the members whose process has ended, on their
// former data and ports. Then it waits until all members serve.
func (c *Cluster) Restart() error {
	if err := c.needsEtcd("disk to restart from"); err != nil {
		return err
	}
	for _, m := range c.Members() {
		if err := m.Resume(); err != nil {
			return err
		}
		if m.Running() {
			continue
		}
		if err := m.start(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
	defer cancel()
	for _, m := range c.running() {
		if err := m.waitServing(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) running() []*Member {
	var running []*Member
	for _, m := range c.Members() {
		if m.Running() {
			running = append(running, m)
		}
	}
	return running
}

// hasQuorum reports whether a majority of the members runs. It counts a learner as a voter, so with
// learners it may return false although there is a majority.
func (c *Cluster) hasQuorum() bool {
	return len(c.running()) > len(c.Members())/2
}

var errNoLeader = errors.New("no running member says that it leads")

// WaitLeader waits until a member that runs and is not paused says that it is the leader, and
// returns this member. If ctx ends first, the error wraps the cause of ctx's end.
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

// Leader is [Cluster.WaitLeader] with a limit of two minutes. It returns nil if there is no leader
// by then.
func (c *Cluster) Leader() *Member {
	ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
	defer cancel()
	leader, err := c.WaitLeader(ctx)
	if err != nil {
		return nil
	}
	return leader
}

// leads reports whether the member's metrics say that it is the leader. Unlike a Status request, a
// read of the metrics needs no authentication.
func (m *Member) leads(ctx context.Context) bool {
	all, err := m.metrics(ctx)
	return err == nil && all["etcd_server_is_leader"] == 1
}
