package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

const (
	// serveTimeout is how long a member may take until it serves. It is generous because CI
	// machines stall.
	serveTimeout = 2 * time.Minute
	// pollEvery is the wait between two checks of a condition, for example whether a member serves.
	pollEvery = 5 * time.Millisecond
	// stopWithin is how long the kernel may take to stop a process after SIGSTOP.
	stopWithin = 5 * time.Second
)

var (
	errNotRunning = errors.New("etcdtest: the member is not running")
	errClosed     = errors.New("etcdtest: the cluster is closed")
)

// Member is one etcd process of a [Cluster]. Its methods are safe for concurrent use.
type Member struct {
	// read-only after newMember
	cluster    *Cluster
	name       string
	ports      *portBlock
	network    string // the network of the client listener: tcp or unix
	address    string // the address of the client listener: host:port or a path
	endpoint   string
	peerURL    string
	serverName string // the name that TLS clients verify; "" without TLS
	http       *http.Client

	mu sync.Mutex
	// guarded by mu
	args   []string
	proc   *process // nil before the first start
	paused bool
	closed bool
	id     uint64
}

// newMember claims ports and makes a certificate for a new member. It does not start the member.
func newMember(c *Cluster, index int) (*Member, error) {
	ports, err := newPortBlock()
	if err != nil {
		return nil, err
	}
	m := &Member{cluster: c, name: fmt.Sprintf("m%d", index), ports: ports}
	m.network, m.address = "tcp", fmt.Sprintf("127.0.0.1:%d", ports.client)
	m.endpoint = c.cfg.scheme() + "://" + m.address
	if c.cfg.unix {
		m.network, m.address = "unix", filepath.Join(c.dir, m.name+".sock")
		m.endpoint = c.cfg.scheme() + ":" + m.address
	}
	m.peerURL = fmt.Sprintf("http://127.0.0.1:%d", ports.peer)
	if c.certs != nil {
		names := c.cfg.namesFor(index)
		if len(names) == 0 {
			ports.release()
			return nil, fmt.Errorf("etcdtest: WithCertNames gave no name for member %d", index)
		}
		m.serverName = names[0]
		if err := c.certs.issueServer(m.name, names); err != nil {
			ports.release()
			return nil, err
		}
	}
	m.http = m.newHTTPClient()
	return m, nil
}

// Endpoint returns the member's client URL: "http://127.0.0.1:PORT", "https://…", "unix:/…" or
// "unixs:/…".
func (m *Member) Endpoint() string { return m.endpoint }

// Address returns the address on which the member listens for clients: "127.0.0.1:PORT", or the
// path of a socket.
func (m *Member) Address() string { return m.address }

// Name returns the member's --name: "m0", "m1" and so on.
func (m *Member) Name() string { return m.name }

// ID returns the member's id in its cluster.
func (m *Member) ID() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

// LogFile returns the path of the file with the logs of all runs of the member.
func (m *Member) LogFile() string { return filepath.Join(m.cluster.dir, m.name+".log") }

func (m *Member) dataDir() string { return filepath.Join(m.cluster.dir, m.name+".etcd") }

// Running reports whether the member's process runs and is not paused.
func (m *Member) Running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runningLocked() && !m.paused
}

func (m *Member) runningLocked() bool { return m.proc != nil && m.proc.running() }

// Kill ends the member with SIGKILL, as a crash would, and waits until the process is gone. It does
// nothing if the member is not running.
func (m *Member) Kill() {
	if p := m.process(); p != nil {
		p.kill()
	}
}

// Terminate ends the member with SIGTERM and waits until the process is gone. If the process still
// runs after ten seconds, Terminate kills it and returns an error. It does nothing if the member is
// not running.
func (m *Member) Terminate() error {
	p := m.process()
	if p == nil || !p.running() {
		return nil
	}
	if err := m.Resume(); err != nil && p.running() {
		return err
	}
	return p.terminate()
}

func (m *Member) process() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

// Pause stops the member with SIGSTOP and waits until it has stopped. The member's connections stay
// open, and it does not answer on them. On systems without SIGSTOP, Pause returns
// [errors.ErrUnsupported].
func (m *Member) Pause() error {
	m.mu.Lock()
	if !m.runningLocked() {
		m.mu.Unlock()
		return fmt.Errorf("%w: pause %s", errNotRunning, m.name)
	}
	p := m.proc
	err := p.pause()
	m.paused = err == nil
	m.mu.Unlock()
	if err != nil {
		return fmt.Errorf("etcdtest: pause %s: %w", m.name, err)
	}
	ctx, cancel := context.WithTimeout(p.exited, stopWithin)
	defer cancel()
	return poll(ctx, func(context.Context) error {
		stopped, err := isStopped(p.cmd.Process.Pid)
		if err == nil && !stopped {
			err = fmt.Errorf("etcdtest: %s has not stopped", m.name)
		}
		return err
	})
}

// Resume lets a paused member go on, with SIGCONT. It does nothing if the member is not paused.
func (m *Member) Resume() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.paused || !m.runningLocked() {
		return nil
	}
	if err := m.proc.resume(); err != nil {
		return fmt.Errorf("etcdtest: resume %s: %w", m.name, err)
	}
	m.paused = false
	return nil
}

// Restart starts the member again on its former data and ports, and waits until it serves. If the
// member still runs, Restart kills it first.
//
// A member cannot serve while no majority of the members runs. Restart then returns without
// waiting. To start several members and wait for them, use [Cluster.Restart]. Restarts of one
// member must not overlap.
func (m *Member) Restart() error {
	if err := m.cluster.needsEtcd("disk to restart from"); err != nil {
		return err
	}
	m.Kill()
	if err := m.start(); err != nil {
		return err
	}
	if !m.cluster.hasQuorum() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
	defer cancel()
	return m.waitServing(ctx)
}

// start runs a process for the member. It returns an error if the member is already running or was
// stopped for good.
func (m *Member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return fmt.Errorf("%w: start %s", errClosed, m.name)
	case m.runningLocked():
		return fmt.Errorf("etcdtest: start %s: it runs", m.name)
	}
	p, err := startProcess(m.cluster.bin, m.args, m.cluster.dir, m.LogFile())
	if err == nil {
		m.proc, m.paused = p, false
	}
	return err
}

// stop ends the member for good and releases its ports.
func (m *Member) stop() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.Kill()
	m.ports.release()
}

// waitServing waits until the member serves, its process ends, or ctx ends.
func (m *Member) waitServing(ctx context.Context) error {
	p := m.process()
	if p == nil {
		return fmt.Errorf("%w: %s", errNotRunning, m.name)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.exited, func() { cancel(context.Cause(p.exited)) })()
	if err := poll(ctx, m.checkServing); err != nil {
		return fmt.Errorf("etcdtest: %s does not serve: %w", m.name, err)
	}
	if !p.running() {
		return fmt.Errorf("etcdtest: %s: %w", m.name, context.Cause(p.exited))
	}
	return m.learnID(ctx)
}

// learnID reads the member's id from its metrics and stores it.
func (m *Member) learnID(ctx context.Context) error {
	all, err := m.metrics(ctx)
	if err != nil {
		return err
	}
	for name := range all {
		hex, found := strings.CutPrefix(name, `etcd_server_id{server_id="`)
		if !found {
			continue
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.id, err = strconv.ParseUint(strings.TrimSuffix(hex, `"}`), 16, 64)
		return err
	}
	return fmt.Errorf("etcdtest: the metrics of %s do not name its id", m.name)
}

// poll calls check until check returns nil. If ctx ends first, poll returns the cause of ctx's end
// together with the last error of check.
func poll(ctx context.Context, check func(context.Context) error) error {
	for {
		last := check(ctx)
		if last == nil {
			return nil
		}
		if backoff.Wait(ctx, pollEvery) != nil {
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), last)
		}
	}
}
