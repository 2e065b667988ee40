package etcdtest

import (
	"fmt"
	"time"
)

// Option changes how [Start] and [New] set up a cluster.
type Option func(*config)

// config holds the settings that the options set. It is read-only after New has validated it.
type config struct {
	members   int
	tls       bool
	mutualTLS bool
	clientCNs []string
	certNames func(member int) []string
	unix      bool
	jwtTTL    time.Duration
	authTTL   time.Duration
	args      []string
}

// maxMembers limits WithMembers, because more processes only slow a test down.
const maxMembers = 7

// WithMembers sets the number of voting members, 1 to 7. The default is 1.
//
// A single member has a heartbeat interval of 10 ms and an election timeout of 100 ms. Several
// members have 50 ms and 500 ms. With both timings, the server grants a TTL of 1 s. With its
// default timings, it would raise this TTL to 2 s. [WithArgs] can set other timings.
func WithMembers(n int) Option { return func(c *config) { c.members = n } }

// WithTLS makes the members serve clients over TLS, with certificates of a new CA for this cluster.
// Clients need no certificate. Members talk to each other without TLS.
func WithTLS() Option { return func(c *config) { c.tls = true } }

// WithMutualTLS is [WithTLS] with members that refuse every client that has no certificate of the
// cluster's CA.
func WithMutualTLS() Option {
	return func(c *config) { c.tls, c.mutualTLS = true, true }
}

// WithClientCNs sets the common names for which client certificates are made, in addition to
// "client" and "root". It needs [WithTLS] or [WithMutualTLS]. Servers ask clients for their
// certificate only under WithMutualTLS.
func WithClientCNs(cns ...string) Option {
	return func(c *config) { c.clientCNs = append(c.clientCNs, cns...) }
}

// WithCertNames sets the DNS names and IP addresses of each member's server certificate. The
// function names is called with the member's index. Without WithCertNames, the certificate has
// "localhost", 127.0.0.1 and ::1. WithCertNames needs [WithTLS] or [WithMutualTLS].
func WithCertNames(names func(member int) []string) Option {
	return func(c *config) { c.certNames = names }
}

// WithUnixSocket makes the members serve clients on unix sockets instead of TCP ports. Endpoints
// are "unix:/…", or "unixs:/…" under TLS.
func WithUnixSocket() Option { return func(c *config) { c.unix = true } }

// WithJWT makes the members issue JSON web tokens that are valid for ttl. A token has its expiry in
// whole seconds, so it may expire up to a second early.
func WithJWT(ttl time.Duration) Option { return func(c *config) { c.jwtTTL = ttl } }

// WithAuthTTL sets how long an unused simple token stays valid, in whole seconds. 0 keeps etcd's
// default of 300 s. A token may stay valid for a second longer, because members look for expired
// tokens once a second.
func WithAuthTTL(ttl time.Duration) Option { return func(c *config) { c.authTTL = ttl } }

// WithArgs appends flags to each member's command line. If a flag occurs twice, etcd uses the last
// occurrence, so these flags override the package's own. Examples are "--auth-token=simple" and
// "--metrics=extensive".
func WithArgs(args ...string) Option {
	return func(c *config) { c.args = append(c.args, args...) }
}

func (c *config) validate() error {
	switch {
	case c.members < 1 || c.members > maxMembers:
		return fmt.Errorf("etcdtest: WithMembers(%d): want 1 to %d", c.members, maxMembers)
	case !c.tls && len(c.clientCNs) > 0:
		return fmt.Errorf("etcdtest: WithClientCNs(%q) without WithTLS or WithMutualTLS",
			c.clientCNs)
	case !c.tls && c.certNames != nil:
		return fmt.Errorf("etcdtest: WithCertNames without WithTLS or WithMutualTLS")
	case c.jwtTTL < 0:
		return fmt.Errorf("etcdtest: WithJWT(%v): negative", c.jwtTTL)
	case c.authTTL%time.Second != 0 || c.authTTL < 0:
		return fmt.Errorf("etcdtest: WithAuthTTL(%v): want whole seconds", c.authTTL)
	}
	return c.validateOnFake()
}

// namesFor returns the names and addresses for a member's server certificate. Clients of this
// package check that the certificate is valid for the first one.
func (c *config) namesFor(member int) []string {
	if c.certNames != nil {
		return c.certNames(member)
	}
	return []string{"localhost", "127.0.0.1", "::1"}
}

func (c *config) scheme() string {
	switch {
	case c.unix && c.tls:
		return "unixs"
	case c.unix:
		return "unix"
	case c.tls:
		return "https"
	}
	return "http"
}
