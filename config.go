package clientv3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Config says how a [Client] connects and behaves. The zero value of every
// field but Endpoints is a default that serves. [New] copies what it needs:
// changing a Config, or the slices in it, has no effect on clients made from it.
//
// # What the client sends by itself
//
// A client sends some requests that the program did not ask for:
//
//	request                            when                               turned off by
//	Health.Watch, Health.Check         connected; a member is silent      DisableProbes
//	KV.Range of the key "\x00"         a member answers nothing           DisableProbes
//	progress requests on watches       a watch stream is idle             DisableProbes
//	HTTP/2 pings                       DialKeepAliveTime is set           DialKeepAliveTime unset
//	Auth.Authenticate                  in New; a token was refused        no Username
//	Cluster.MemberList                 every AutoSyncInterval             AutoSyncInterval 0
//	Maintenance.Status                 in New                             RejectOldCluster unset
//	Lease.LeaseTimeToLive              a member says that a kept lease    keep no leases
//	                                   is gone which should be alive
//
// Servers, proxies and interceptors that do not know or allow one of them may
// refuse it: no other request fails for that. Interceptors among DialOptions see
// them with a context for which [IsInternalRequest] is true, but for health
// requests, that Range and pings, which they do not see, and progress requests, which are
// messages on the program's own watch streams.
type Config struct {
	// Endpoints are the members to connect to: host:port, http://host:port,
	// https://host:port, unix:path or unixs:path, IPv6 literals in brackets. Schemes
	// http and unix are not encrypted, https and unixs are; without a scheme, TLS
	// decides (and so it does for unix). Malformed ones are left out, with a warning;
	// with a dialer among DialOptions they go to it as they are. Without any that is
	// left, New returns ErrNoAvailableEndpoints or what is wrong with them. Connections
	// are made through the proxy that the environment (HTTPS_PROXY, NO_PROXY) names.
	Endpoints []string `json:"endpoints"`

	// AutoSyncInterval is how often the endpoints are replaced by those of the
	// cluster's current members, as by Client.Sync, until the client is closed. One
	// that fails, or takes longer than 5 seconds, is logged as a warning and leaves
	// the endpoints as they are. 0 means never.
	AutoSyncInterval time.Duration `json:"auto-sync-interval"`

	// DialTimeout bounds each attempt to connect, each login, and the version check
	// of RejectOldCluster. It bounds no calls: these wait for a connection as long as
	// their contexts allow, but for Lease.KeepAlive, which waits for its first answer
	// for a second more than this. 0 means 20 seconds.
	DialTimeout time.Duration `json:"dial-timeout"`

	// DialKeepAliveTime is after how long without traffic a connection in use is
	// probed by an HTTP/2 ping; gRPC raises anything shorter to 10 seconds. 0 or less
	// means no pings: servers and proxies that allow one in 5 minutes, gRPC's default,
	// close connections that send more. Without them a member that falls silent is
	// noticed by the requests that it owes, unless SpreadEvenly or DisableProbes is set,
	// and a host or network that is gone by TCP, within 25 seconds, unless the
	// connection was made by a dialer among DialOptions.
	DialKeepAliveTime time.Duration `json:"dial-keep-alive-time"`

	// DialKeepAliveTimeout is how long the answer to a ping may take before the
	// connection is given up. 0 means 5 seconds. It has no effect without pings.
	DialKeepAliveTimeout time.Duration `json:"dial-keep-alive-timeout"`

	// MaxCallSendMsgSize bounds requests, in bytes; a larger one fails with
	// codes.ResourceExhausted before it is sent. 0 means 2 MiB. Servers have a
	// bound of their own (--max-request-bytes).
	MaxCallSendMsgSize int

	// MaxCallRecvMsgSize bounds responses, in bytes. 0 means math.MaxInt32. Where
	// both are set, it must not be below MaxCallSendMsgSize.
	MaxCallRecvMsgSize int

	// TLS holds the client's TLS settings. Without ServerName each endpoint's
	// certificate is checked against that endpoint's host. Nil means the zero
	// tls.Config for endpoints that ask for TLS by their scheme, and none for others.
	// The client does not change it, and neither may others while the client lives.
	TLS *tls.Config

	// Username and Password log the client in, where both are set: New does so
	// once, and the token is renewed when a server refuses it. A cluster that runs
	// without authentication needs no login, and that is no error. One without the
	// other is not used.
	Username string `json:"username"`
	Password string `json:"password"`

	// Token is an authentication token to send with every request, for clusters
	// whose tokens are issued elsewhere. It is never renewed, and excludes
	// Username and Password (ErrMutuallyExclusiveCfg).
	Token string `json:"token"`

	// RejectOldCluster makes New ask the endpoints for their version, and fail
	// with ErrOldCluster where one of them is older than 3.6, or with their errors
	// where none of them answers within DialTimeout.
	RejectOldCluster bool `json:"reject-old-cluster"`

	// DialOptions are further options for the gRPC connection, such as
	// interceptors and stats handlers, which see each attempt of a request; they hold
	// for Client.Dial as well. They come after the client's own and keep their meaning,
	// but for these:
	//
	//   - Transport credentials take the place of TLS and of the endpoints' schemes, and
	//     keep the client from closing the connection of a silent member. A credentials
	//     bundle is refused by New.
	//   - A dialer takes the place of the proxy of the environment and of the limits on
	//     silent TCP connections.
	//   - Limits on messages in default call options give way to MaxCallSendMsgSize and
	//     MaxCallRecvMsgSize, but on ActiveConnection and what Dial returns.
	//   - A default service config is used with WithDisableServiceConfig only, and then
	//     replaces the client's balancer.
	//   - WithBlock, WithTimeout, WithReturnConnectionError and FailOnNonTempDialError
	//     have no effect: New does not wait for a connection.
	DialOptions []grpc.DialOption

	// Context is the parent of the client's context: when it ends, so do the
	// client's streams, its connection is closed, and all its calls fail as after
	// Client.Close, which is to be called all the same. Nil means one that never ends.
	Context context.Context

	// Logger receives the client's log entries. Nil means one made from LogConfig,
	// and where that is nil too, the default: see GetLogger.
	Logger *zap.Logger

	// LogConfig makes the logger where Logger is nil. New returns its error.
	LogConfig *zap.Config

	// PermitWithoutStream has connections that carry no request at the time
	// probed too. Servers must allow it, or they close such connections.
	PermitWithoutStream bool `json:"permit-without-stream"`

	// SpreadEvenly has requests go round all connected members in turn, whatever
	// they do. By default a member that owes answers and is silent while its
	// peers answer is passed over within half a second, and its connection is
	// closed, so that requests without effects go elsewhere, within about a
	// second; so it is where a member is alive and answers no request at all. One
	// that takes much longer than its peers gets no more than it answers.
	SpreadEvenly bool `json:"spread-evenly"`

	// DisableProbes has the client send neither progress requests of its own nor
	// health checks, for servers or proxies that cannot take them. A member or a
	// watch stream that falls silent is then found by HTTP/2 pings alone, and a
	// watch without events resumes where its last event left it.
	DisableProbes bool `json:"disable-probes"`

	// MaxUnaryRetries bounds how often one request is sent, the first time included;
	// "Retries" in the package documentation says which are sent again. Watches and
	// keepalives are reopened without a bound. 0 means 100.
	MaxUnaryRetries uint `json:"max-unary-retries"`

	// BackoffWaitBetween is the first wait between two attempts of a request. Waits
	// double up to 1.5 seconds, or up to this one if it is longer. The first
	// attempts, as many as there are endpoints, do not wait. 0 means 25 ms.
	BackoffWaitBetween time.Duration `json:"backoff-wait-between"`

	// BackoffJitterFraction is how far a wait may be off by chance, as a share of
	// it: with 0.1, by up to a tenth either way. 0 means 0.1; the largest is 1.
	BackoffJitterFraction float64 `json:"backoff-jitter-fraction"`
}

const (
	defaultDialTimeout      = 20 * time.Second
	defaultKeepAliveTimeout = 5 * time.Second
	defaultMaxSendBytes     = 2 << 20
	defaultMaxRecvBytes     = math.MaxInt32
	defaultMaxAttempts      = 100
	defaultBackoffWait      = 25 * time.Millisecond
	defaultBackoffJitter    = 0.1
	maxBackoffWait          = 1500 * time.Millisecond
)

// withDefaults returns a copy of c in which zero values stand for nothing else.
func (c Config) withDefaults() Config {
	c.Endpoints = slices.Clone(c.Endpoints)
	c.DialOptions = slices.Clone(c.DialOptions)
	if c.Context == nil {
		c.Context = context.Background() //nolint:forbidigo // the documented default
	}
	setDefault(&c.DialKeepAliveTimeout, defaultKeepAliveTimeout)
	setDefault(&c.MaxCallSendMsgSize, defaultMaxSendBytes)
	setDefault(&c.MaxCallRecvMsgSize, defaultMaxRecvBytes)
	setDefault(&c.MaxUnaryRetries, defaultMaxAttempts)
	setDefault(&c.BackoffWaitBetween, defaultBackoffWait)
	setDefault(&c.BackoffJitterFraction, defaultBackoffJitter)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate reports the first thing wrong with a Config that has its defaults.
func (c Config) validate() error {
	if len(c.Endpoints) == 0 {
		return ErrNoAvailableEndpoints
	}
	if c.Token != "" && (c.Username != "" || c.Password != "") {
		return ErrMutuallyExclusiveCfg
	}
	return errors.Join(c.validateNumbers()...)
}

func (c Config) validateNumbers() (errs []error) {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"AutoSyncInterval", c.AutoSyncInterval},
		{"DialTimeout", c.DialTimeout},
		{"DialKeepAliveTimeout", c.DialKeepAliveTimeout},
		{"BackoffWaitBetween", c.BackoffWaitBetween},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("etcdclient: %s %v is negative", d.name, d.value))
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"MaxCallSendMsgSize", c.MaxCallSendMsgSize},
		{"MaxCallRecvMsgSize", c.MaxCallRecvMsgSize},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("etcdclient: %s %d is negative", n.name, n.value))
		}
	}
	// The default for requests is no wish of the user's, so a smaller limit on
	// responses may stand beside it.
	if c.MaxCallRecvMsgSize < c.MaxCallSendMsgSize && c.MaxCallSendMsgSize != defaultMaxSendBytes {
		errs = append(errs, fmt.Errorf("etcdclient: MaxCallRecvMsgSize %d is below MaxCallSendMsgSize %d",
			c.MaxCallRecvMsgSize, c.MaxCallSendMsgSize))
	}
	if j := c.BackoffJitterFraction; !(j >= 0 && j <= 1) {
		errs = append(errs, fmt.Errorf("etcdclient: BackoffJitterFraction %v is not within 0 and 1",
			j))
	}
	return errs
}
