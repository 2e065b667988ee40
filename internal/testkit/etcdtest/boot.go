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

// bootTries is the number of attempts to start a new cluster, each on other ports.
const bootTries = 5

var errPortTaken = errors.New("etcdtest: a port was taken")

// boot starts the first members and waits until they serve. If a port was taken by another program,
// boot tries again on other ports.
func (c *Cluster) boot() error {
	var err error
	for range bootTries {
		if err = c.bootOnce(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return fmt.Errorf("%w (tried %d times)", err, bootTries)
}

// bootOnce makes one attempt to start the first members. If another program has taken a port,
// bootOnce removes the members and returns errPortTaken. After any other failure, Close removes the
// members.
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

// startAll starts all members, and then waits until all of them serve. A member serves only while a
// majority of the members runs.
//
// startAll waits after each start until the member answers requests of other members. The next
// member asks the others which members the cluster has. If one of them listens but does not answer
// yet, the new member waits a second.
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

// explain returns bootErr with the first and the last lines of the members' logs. If the logs show
// that a port was taken, explain removes the members and returns errPortTaken.
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
			_ = os.RemoveAll(m.dataDir()) // if this fails, New removes the whole directory
			_ = os.Remove(m.LogFile())
		}
		return fmt.Errorf("%w: %w", errPortTaken, bootErr)
	}
	return fmt.Errorf("%w%s", bootErr, logs.String())
}

// addressTaken reports whether a log has an operating system's error message for a port in use.
func addressTaken(log []byte) bool {
	return bytes.Contains(log, []byte("address already in use")) ||
		bytes.Contains(log, []byte("Only one usage of each socket"))
}

// configure sets the member's command-line flags. The parameter join has the flags that say how the
// member joins the cluster.
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

// memberArgs returns the member's flags, without the flags that say how it joins the cluster.
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
		"--unsafe-no-fsync", // only a crash of the kernel could lose writes, not a killed process
		"--snapshot-count=2000",
		"--bcrypt-cost=4",
		// Without this flag, AddMember would have to wait until all members have been connected for
		// five seconds.
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
