package etcdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// bootTries is how often a first start is tried on new ports.
const bootTries = 5

var errPortTaken = errors.New("etcdtest: a port was taken")

// boot starts the first members and waits until they serve.
func (c *Cluster) boot() error {
	var err error
	for range bootTries {
		if err = c.bootOnce(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return fmt.Errorf("%w (tried %d times)", err, bootTries)
}

// bootOnce starts the first members once. If a port was taken, it removes them and returns
// errPortTaken. After another failure Close removes them.
func (c *Cluster) bootOnce() error {
	members, err := c.newMembers()
	c.mu.Lock()
	c.members = members
	c.mu.Unlock()
	if err == nil {
		err = c.startAll(members)
	}
	if err != nil {
		return c.explain(members, err)
	}
	return nil
}

func (c *Cluster) newMembers() (members []*Member, err error) {
	for i := range c.cfg.members {
		m, err := newMember(c, i)
		if err != nil {
			return members, err
		}
		members = append(members, m)
	}
	return members, nil
}

// startAll starts all members and then waits until they serve, for which a majority must run. It
// starts a member when the one before answers its peers: a new member asks the others for the
// members of the cluster, and waits a second for one that listens and does not answer.
func (c *Cluster) startAll(members []*Member) error {
	ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for _, m := range members {
		m.configure("--initial-cluster="+initialCluster(members), "--initial-cluster-state=new")
		if err := m.start(); err != nil {
			return err
		}
		exited := m.process().exited
		defer context.AfterFunc(exited, func() {
			fail(fmt.Errorf("%s: %w", m.name, context.Cause(exited)))
		})()
		if err := m.waitPeers(ctx); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := m.waitServing(ctx); err != nil {
			return err
		}
	}
	return nil
}

// explain returns bootErr with the ends of the members' logs. If they show that a port was taken,
// it removes the members and returns errPortTaken.
func (c *Cluster) explain(members []*Member, bootErr error) error {
	var logs strings.Builder
	for _, m := range members {
		ends := m.logEnds(20)
		fmt.Fprintf(&logs, "\n%s logged:\n%s", m.name, ends)
		if !addressTaken(ends) {
			continue
		}
		for _, m := range members {
			m.stop()
			_ = os.RemoveAll(m.dataDir()) // New removes the whole directory if this fails for good
			_ = os.Remove(m.LogFile())
		}
		return fmt.Errorf("%w: %w", errPortTaken, bootErr)
	}
	return fmt.Errorf("%w%s", bootErr, logs.String())
}

// addressTaken reports whether a log has the text of an operating system for a port in use.
func addressTaken(log []byte) bool {
	return bytes.Contains(log, []byte("address already in use")) ||
		bytes.Contains(log, []byte("Only one usage of each socket"))
}

// configure sets the flags of the member; join are those by which it joins the cluster.
func (m *Member) configure(join ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.args = slices.Concat(m.cluster.memberArgs(m), join)
}

func initialCluster(members []*Member) string {
	var parts []string
	for _, m := range members {
		parts = append(parts, m.name+"="+m.peerURL)
	}
	return strings.Join(parts, ",")
}

// memberArgs returns the member's flags, except those by which it joins the cluster.
func (c *Cluster) memberArgs(m *Member) []string {
	listenURL := m.endpoint
	if c.cfg.unix {
		listenURL = c.cfg.scheme() + "://" + m.address
	}
	args := []string{
		"--name=" + m.name,
		"--data-dir=" + m.dataDir(),
		"--listen-client-urls=" + listenURL,
		"--advertise-client-urls=" + m.endpoint,
		"--listen-peer-urls=" + m.peerURL,
		"--initial-advertise-peer-urls=" + m.peerURL,
		"--initial-cluster-token=etcdtest",
		"--unsafe-no-fsync", // a killed process loses no write, only a crashed kernel does
		"--snapshot-count=2000",
		"--bcrypt-cost=4",
		// or AddMember would have to wait until all were connected for five seconds
		"--strict-reconfig-check=false",
		"--enable-grpc-gateway=false",
		"--log-outputs=stderr",
	}
	if c.cfg.members == 1 {
		args = append(args, "--heartbeat-interval=10", "--election-timeout=100")
	} else {
		args = append(args, "--heartbeat-interval=50", "--election-timeout=500")
	}
	if c.certs != nil {
		args = append(args, "--cert-file="+c.certs.file(m.name, ".crt"),
			"--key-file="+c.certs.file(m.name, ".key"))
	}
	if c.cfg.mutualTLS {
		args = append(args, "--client-cert-auth", "--trusted-ca-file="+c.CAFile())
	}
	if c.auth != "" {
		args = append(args, "--auth-token="+c.auth)
	}
	if c.cfg.authTTL > 0 {
		args = append(args, fmt.Sprintf("--auth-token-ttl=%d", int(c.cfg.authTTL.Seconds())))
	}
	return slices.Concat(args, c.cfg.args)
}
