package etcdtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

// Cluster is a set of etcd processes. Its methods are safe for concurrent use.
type Cluster struct {
	// read-only after New
	cfg   config
	bin   string
	dir   string     // the directory of logs, data, certificates and sockets
	certs *authority // nil without TLS
	auth  string     // the value of --auth-token; "" for the server's default
	tb    testing.TB // the test that called Start; nil if a program called New

	mu sync.Mutex
	// guarded by mu
	members      []*Member
	rootPassword string // "" while auth is off
	closed       bool
}

// Start starts a cluster for a test and waits until every member serves. If that fails, for example
// because there is no binary, the test fails at once.
//
// When the test ends, the processes are killed and their files removed. If the test has failed, the
// logs are kept, and the first and the last lines of each are printed.
func Start(tb testing.TB, opts ...Option) *Cluster {
	tb.Helper()
	c, err := New(opts...)
	if errors.Is(err, ErrOnFake) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	c.tb = tb
	if OnFake() {
		tb.Log("etcdtest: on etcdfake")
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			c.closeKeepingLogs(tb)
			return
		}
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// New is [Start] for programs that are not tests: the caller must close the cluster. If there is no
// binary, the error wraps [ErrNoBinary]. If an option is wrong, the error names it. If members do
// not serve, the error has their logs.
func New(opts ...Option) (*Cluster, error) {
	c := &Cluster{cfg: config{members: 1}}
	for _, opt := range opts {
		opt(&c.cfg)
	}
	if err := c.cfg.validate(); err != nil {
		return nil, err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("etcdtest: %w", err)
	}
	if c.bin, err = findBinary(cwd); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "etcdtest"); err != nil {
		return nil, fmt.Errorf("etcdtest: %w", err)
	}
	if err := c.setUp(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// setUp makes the certificates and keys, and then starts the members.
func (c *Cluster) setUp() (err error) {
	if c.cfg.tls {
		c.cfg.clientCNs = append(c.cfg.clientCNs, defaultCN, "root")
		if c.certs, err = newAuthority(c.dir, c.cfg.clientCNs); err != nil {
			return err
		}
	}
	if c.cfg.jwtTTL > 0 {
		if c.auth, err = jwtSpec(c.dir, c.cfg.jwtTTL); err != nil {
			return err
		}
	}
	return c.boot()
}

// Close kills every member and removes the cluster's files. It may be called more than once.
func (c *Cluster) Close() error {
	c.stopMembers()
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("etcdtest: %w", err)
	}
	return nil
}

func (c *Cluster) stopMembers() {
	c.mu.Lock()
	c.closed = true
	members := c.members
	c.mu.Unlock()
	for _, m := range members {
		m.stop()
	}
}

// Members returns the cluster's members in the order of their names, including members that
// AddMember has added.
func (c *Cluster) Members() []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

// Endpoints returns the client URLs of all members.
func (c *Cluster) Endpoints() []string {
	var eps []string
	for _, m := range c.Members() {
		eps = append(eps, m.Endpoint())
	}
	return eps
}

// defaultCN is the common name of the certificate that TLSConfig uses under mutual TLS.
const defaultCN = "client"

// TLSConfig returns a new TLS configuration for a client. It trusts the cluster's CA. Under
// [WithMutualTLS], it has the client certificate with the common name "client". TLSConfig returns
// nil for a cluster without TLS.
func (c *Cluster) TLSConfig() *tls.Config {
	if c.cfg.mutualTLS {
		return c.ClientTLS(defaultCN)
	}
	return c.ClientTLS("")
}

// ClientTLS returns a new TLS configuration for a client. It trusts the cluster's CA. Its client
// certificate has the common name cn. If cn is "", it has no certificate.
//
// ClientTLS returns nil for a cluster without TLS, and for a name that was not passed to
// [WithClientCNs].
func (c *Cluster) ClientTLS(cn string) *tls.Config {
	if c.certs == nil {
		return nil
	}
	cfg := &tls.Config{RootCAs: c.certs.pool, MinVersion: tls.VersionTLS12}
	if cn == "" {
		return cfg
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile(cn), c.KeyFile(cn))
	if err != nil {
		return nil
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg
}

// CAFile returns the path of the PEM file with the cluster's CA, or "" without TLS.
func (c *Cluster) CAFile() string {
	if c.certs == nil {
		return ""
	}
	return c.certs.file("ca", ".crt")
}

// CertFile returns the path of the PEM file with the client certificate that has the common name
// cn. It returns "" for a cluster without TLS, and for a name that was not passed to
// [WithClientCNs].
func (c *Cluster) CertFile(cn string) string { return c.clientFile(cn, ".crt") }

// KeyFile returns the path of the PEM file with the private key of the certificate in CertFile. It
// returns "" if CertFile does.
func (c *Cluster) KeyFile(cn string) string { return c.clientFile(cn, ".key") }

func (c *Cluster) clientFile(cn, suffix string) string {
	if c.certs == nil || !slices.Contains(c.cfg.clientCNs, cn) {
		return ""
	}
	return c.certs.file("client-"+cn, suffix)
}
