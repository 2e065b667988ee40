package etcdtest

import (
	"fmt"
	"time"
)

// Option changes how [Start] and [New] set a cluster up.
type Option func(*config)

// config is what the options wrote; it is read-only once New has validated it.
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

// maxMembers bounds WithMembers: more processes than that only slow a test down.
const maxMembers = 7

// WithMembers sets the number of voting members, 1 to 7. The default is 1.
//
// A single member runs with a heartbeat of 10 ms and an election timeout of 100 ms, several members
// with 50 ms and 500 ms. Both grant leases of 1 s, where a server with default timings raises a TTL
// of 1 s to 2 s. [WithArgs] can set other timings.
func WithMembers(n int) Option { return func(c *config) { c.members = n } }

// WithTLS makes the members serve clients over TLS, with certificates of a CA that is made for this
// cluster. Clients need no certificate. Peers talk to each other without TLS.
func WithTLS() Option { return func(c *config) { c.tls = true } }

// WithMutualTLS is [WithTLS] with members that refuse clients without a certificate of the
// cluster's CA.
func WithMutualTLS() Option {
	return func(c *config) { c.tls, c.mutualTLS = true, true }
}

// WithClientCNs names the client certificates to make, by common name. "client" and "root" are
// always made. It needs [WithTLS] or [WithMutualTLS]; only under the latter does the server see a
// client's certificate.
func WithClientCNs(cns ...string) Option {
	return func(c *config) { c.clientCNs = append(c.clientCNs, cns...) }
}

// WithCertNames sets the DNS names and IP addresses in each member's server certificate, and
// nothing else is in it. The default is "localhost", 127.0.0.1 and ::1. It needs [WithTLS] or
// [WithMutualTLS].
func WithCertNames(names func(member int) []string) Option {
	return func(c *config) { c.certNames = names }
}

// WithUnixSocket makes the members serve clients on unix sockets ("unix:/…", under TLS "unixs:/…")
// instead of TCP ports.
func WithUnixSocket() Option { return func(c *config) { c.unix = true } }

// WithJWT makes the members issue JSON web tokens that live for ttl. A token's end is written in
// whole seconds, so it may come up to a second early.
func WithJWT(ttl time.Duration) Option { return func(c *config) { c.jwtTTL = ttl } }

// WithAuthTTL sets how long a simple token lives without being used, in whole seconds; 0 keeps
// etcd's 300. Members look for expired tokens once a second, so one may live a second longer.
func WithAuthTTL(ttl time.Duration) Option { return func(c *config) { c.authTTL = ttl } }

// WithArgs appends flags to each member's command line. Of a flag that is given twice etcd uses the
// last one, so these win over the package's own. Examples are "--auth-token=simple" and
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

// namesFor are the names that go into a member's certificate; the first is the one that clients
// verify.
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
