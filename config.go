package clientv3

import (
	"cmp"
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

// Config says how a [Client] connects and behaves. Only Endpoints is required; the zero value of
// every other field means its default. [New] copies the Config and its slices, so later changes
// have no effect on the client.
//
// # What the client sends by itself
//
// A client sends some requests that the program did not ask for:
//
//	request                            when                               turned off by
//	Health.Watch                       a member is connected              DisableProbes
//	Health.Check                       a member is silent                 DisableProbes
//	KV.Range of the key "\x00"         a member answers no request        DisableProbes
//	progress requests on watches       a watch stream is idle             DisableProbes
//	HTTP/2 pings                       DialKeepAliveTime is set           DialKeepAliveTime unset
//	Auth.Authenticate                  in New; a token was refused        no Username
//	Cluster.MemberList                 every AutoSyncInterval             AutoSyncInterval 0
//	Maintenance.Status                 in New                             RejectOldCluster unset
//	Lease.LeaseTimeToLive              a member says that a kept lease    keep no leases
//	                                   is gone which should be alive
//
// A server, proxy or interceptor may refuse any of these requests. The program's own requests do
// not fail because of that. For these requests, interceptors among DialOptions get a context for
// which [IsInternalRequest] is true. Interceptors do not see the health requests, the Range of
// "\x00" and the pings. Progress requests are messages on the program's own watch streams.
type Config struct {
	// Endpoints are the members to connect to: host:port, http://host:port, https://host:port,
	// unix:path or unixs:path, with IPv6 literals in brackets. https and unixs mean TLS, http means
	// no TLS. An endpoint with unix or without a scheme uses TLS if the field TLS is set. A
	// malformed endpoint is left out, with a warning, or passed to the dialer if DialOptions have
	// one. New returns ErrNoAvailableEndpoints for an empty list, and the errors of the endpoints
	// if all are malformed. Connections go through the proxy that the environment variables
	// HTTPS_PROXY and NO_PROXY name.
	Endpoints []string `json:"endpoints"`

	// AutoSyncInterval is the time between automatic calls of Client.Sync, until the client is
	// closed. A Sync that fails, or takes longer than 5 seconds, is logged as a warning and leaves
	// the endpoints as they are. 0 means never.
	AutoSyncInterval time.Duration `json:"auto-sync-interval"`

	// DialTimeout bounds each attempt to connect, each login, and the version check of
	// RejectOldCluster. It does not bound calls, which wait for a connection until their contexts
	// end. There is one exception: Lease.KeepAlive waits for its first answer at most one second
	// more than DialTimeout. 0 means 20 seconds.
	DialTimeout time.Duration `json:"dial-timeout"`

	// DialKeepAliveTime is how long a connection with a request or stream under way may be without
	// traffic before the client sends an HTTP/2 ping on it. gRPC raises it to at least 10 seconds.
	// 0 or less means no pings, because servers and proxies with gRPC's default policy close
	// connections that send more than one ping in 5 minutes. Without pings, a silent member is
	// noticed by the requests that it does not answer, unless SpreadEvenly or DisableProbes is set.
	// TCP notices within 25 seconds that a host or network is gone, unless a dialer among
	// DialOptions made the connection.
	DialKeepAliveTime time.Duration `json:"dial-keep-alive-time"`

	// DialKeepAliveTimeout is how long the answer to a ping may take before the connection is
	// closed. 0 means 5 seconds. It has no effect without pings.
	DialKeepAliveTimeout time.Duration `json:"dial-keep-alive-timeout"`

	// MaxCallSendMsgSize is the size of the largest request, in bytes. A larger one fails with
	// codes.ResourceExhausted before it is sent. 0 means 2 MiB. Servers have a limit of their own
	// (--max-request-bytes).
	MaxCallSendMsgSize int

	// MaxCallRecvMsgSize is the size of the largest response, in bytes. 0 means math.MaxInt32. If
	// both limits are set, MaxCallRecvMsgSize must not be below MaxCallSendMsgSize.
	MaxCallRecvMsgSize int

	// TLS holds the client's TLS settings. Without a ServerName, each endpoint's certificate is
	// checked against that endpoint's host. Nil means the zero tls.Config for endpoints whose
	// scheme means TLS, and no TLS for others. The client does not change the tls.Config, and the
	// program must not change it while the client lives.
	TLS *tls.Config

	// Username and Password log the client in, if both are set. New logs in once; the token is
	// renewed when a server refuses it. If the cluster runs without authentication, no login is
	// needed, and New returns no error. If only one of the two is set, it is not used.
	Username string `json:"username"`
	Password string `json:"password"`

	// Token is an authentication token that is sent with every request, for clusters whose tokens
	// are issued elsewhere. It is never renewed. New returns ErrMutuallyExclusiveCfg if a Username
	// or Password is set as well.
	Token string `json:"token"`

	// RejectOldCluster makes New ask the endpoints for their versions. New returns ErrOldCluster if
	// a version is older than 3.6, and the errors of the endpoints if no endpoint answers within
	// DialTimeout.
	RejectOldCluster bool `json:"reject-old-cluster"`

	// DialOptions are further options for the gRPC connection, such as interceptors and stats
	// handlers, which see each attempt of a request. They also apply to Client.Dial. The client
	// puts them after its own options. They keep their meaning, with these exceptions:
	//
	//   - Transport credentials replace TLS and the schemes of endpoints. The client then does not
	//     close the connection of a silent member. New refuses a credentials bundle unless
	//     WithTransportCredentials(nil) comes before it.
	//   - A dialer replaces the client's own, which uses the proxy of the environment and limits
	//     how long a TCP connection may be silent.
	//   - Message limits in default call options do not apply to the client's own calls, which have
	//     MaxCallSendMsgSize and MaxCallRecvMsgSize. They apply to ActiveConnection and to
	//     connections of Dial.
	//   - A default service config is used only with WithDisableServiceConfig. It then replaces the
	//     client's balancer.
	//   - WithBlock, WithTimeout, WithReturnConnectionError and FailOnNonTempDialError have no
	//     effect, because New does not wait for a connection.
	DialOptions []grpc.DialOption

	// Context is the parent of the client's context. When it ends, the client's streams end, its
	// connection is closed, and its calls fail as they do after Client.Close. The program must
	// still call Close. Nil means a context that never ends.
	Context context.Context

	// Logger receives the client's log entries. Nil means a logger made from LogConfig, or the
	// default logger if LogConfig is nil, too. Client.GetLogger describes the default logger.
	Logger *zap.Logger

	// LogConfig is the configuration of the logger if Logger is nil. If no logger can be made from
	// it, New returns the error.
	LogConfig *zap.Config

	// PermitWithoutStream makes the client send HTTP/2 pings also on connections without a request.
	// A server that does not allow such pings closes the connection.
	PermitWithoutStream bool `json:"permit-without-stream"`

	// SpreadEvenly disables health-aware balancing: requests go round-robin over all connected
	// members. By default, if a member does not answer while its peers do, the client stops sending
	// it new requests within half a second. It also closes the connection to that member, so that
	// reads move to another member within about a second. A member that answers health checks but
	// no request is treated as silent. A member that is much slower than its peers gets no more
	// requests than it answers.
	SpreadEvenly bool `json:"spread-evenly"`

	// DisableProbes turns off health checks and the client's own progress requests, for servers and
	// proxies that cannot handle them. A silent member or watch stream is then found by HTTP/2
	// pings only, and a watch without events resumes from its last event.
	DisableProbes bool `json:"disable-probes"`

	// MaxUnaryRetries is the largest number of attempts of one request, the first one included.
	// "Retries" in the package documentation says which requests are sent again. Streams of watches
	// and keepalives are opened again without a limit. 0 means 100.
	MaxUnaryRetries uint `json:"max-unary-retries"`

	// BackoffWaitBetween is the first wait between two attempts of a request. Waits double up to
	// 1.5 seconds, or up to BackoffWaitBetween if that is longer. The first attempts, one for each
	// endpoint, are made without a wait. 0 means 25 ms.
	BackoffWaitBetween time.Duration `json:"backoff-wait-between"`

	// BackoffJitterFraction is the share by which a wait is made longer or shorter at random: 0.1
	// means by up to a tenth. 0 means 0.1; the largest is 1.
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

// withDefaults returns a copy of c with its defaults filled in.
func (c Config) withDefaults() Config {
	c.Endpoints = slices.Clone(c.Endpoints)
	c.DialOptions = slices.Clone(c.DialOptions)
	if c.Context == nil {
		c.Context = context.Background() //nolint:forbidigo // the documented default
	}
	c.DialTimeout = cmp.Or(c.DialTimeout, defaultDialTimeout)
	c.DialKeepAliveTimeout = cmp.Or(c.DialKeepAliveTimeout, defaultKeepAliveTimeout)
	c.MaxCallSendMsgSize = cmp.Or(c.MaxCallSendMsgSize, defaultMaxSendBytes)
	c.MaxCallRecvMsgSize = cmp.Or(c.MaxCallRecvMsgSize, defaultMaxRecvBytes)
	c.MaxUnaryRetries = cmp.Or(c.MaxUnaryRetries, defaultMaxAttempts)
	c.BackoffWaitBetween = cmp.Or(c.BackoffWaitBetween, defaultBackoffWait)
	c.BackoffJitterFraction = cmp.Or(c.BackoffJitterFraction, defaultBackoffJitter)
	return c
}

// validate returns an error that names the bad values of c, whose defaults are filled in, or nil.
func (c Config) validate() error {
	if len(c.Endpoints) == 0 {
		return ErrNoAvailableEndpoints
	}
	if c.Token != "" && (c.Username != "" || c.Password != "") {
		return ErrMutuallyExclusiveCfg
	}
	errs := []error{
		notNegative("AutoSyncInterval", c.AutoSyncInterval),
		notNegative("DialTimeout", c.DialTimeout),
		notNegative("DialKeepAliveTimeout", c.DialKeepAliveTimeout),
		notNegative("BackoffWaitBetween", c.BackoffWaitBetween),
		notNegative("MaxCallSendMsgSize", c.MaxCallSendMsgSize),
		notNegative("MaxCallRecvMsgSize", c.MaxCallRecvMsgSize),
	}
	// A MaxCallRecvMsgSize below the default of MaxCallSendMsgSize is accepted, because the program
	// has not asked for that default.
	if c.MaxCallRecvMsgSize < c.MaxCallSendMsgSize && c.MaxCallSendMsgSize != defaultMaxSendBytes {
		errs = append(errs, fmt.Errorf("etcdclient: MaxCallRecvMsgSize %d is below MaxCallSendMsgSize %d",
			c.MaxCallRecvMsgSize, c.MaxCallSendMsgSize))
	}
	if j := c.BackoffJitterFraction; !(j >= 0 && j <= 1) {
		errs = append(errs, fmt.Errorf("etcdclient: BackoffJitterFraction %v is not within 0 and 1",
			j))
	}
	return errors.Join(errs...)
}

func notNegative[N int | time.Duration](name string, value N) error {
	if value < 0 {
		return fmt.Errorf("etcdclient: %s %v is negative", name, value)
	}
	return nil
}
