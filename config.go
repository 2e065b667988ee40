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
//	Lease.LeaseTimeToLive              a member reports that a lease      no KeepAlive calls
//	                                   kept by KeepAlive is gone
//	Lease.LeaseTimeToLive              the answer to a Grant was lost     no Grant calls
//
// A server, proxy or interceptor may refuse any of the requests in this table. The program's own
// requests do not fail because of that.
//
// Interceptors among DialOptions do not see the health requests, the Range of "\x00" and the pings.
// Progress requests are messages on the streams of the program's watches, not calls. For the other
// requests in the table, interceptors get a context for which [IsInternalRequest] is true.
type Config struct {
	// Endpoints are the members to connect to. IPv6 literals are in brackets. The forms are:
	//
	//   - https://host:port and unixs:path use TLS.
	//   - http://host:port does not.
	//   - host:port and unix:path use TLS if the field TLS is set.
	//
	// A malformed endpoint is left out, and the client logs a warning. If DialOptions have a
	// dialer, only blank endpoints are left out; other malformed endpoints are passed to the dialer
	// as they are. New returns ErrNoAvailableEndpoints for an empty list, and an error that names
	// the endpoints if all are left out.
	//
	// Connections go through the proxy that the environment variables HTTPS_PROXY and NO_PROXY
	// name.
	Endpoints []string `json:"endpoints"`

	// AutoSyncInterval is the time between the client's own calls of Client.Sync, until the client
	// is closed. A Sync that fails or takes longer than 5 seconds leaves the endpoints as they are,
	// and is logged as a warning. 0 means never.
	AutoSyncInterval time.Duration `json:"auto-sync-interval"`

	// DialTimeout bounds each attempt to connect, each login, and the version check of
	// RejectOldCluster. 0 means 20 seconds. It does not bound calls: a call waits for a connection
	// until its context ends. There is one exception: Lease.KeepAlive gives up if no answer has
	// come within DialTimeout plus one second.
	DialTimeout time.Duration `json:"dial-timeout"`

	// DialKeepAliveTime is how long a connection may be without traffic before the client pings it.
	// Only connections with a request or stream under way get these HTTP/2 pings. gRPC raises a
	// time below 10 seconds to 10 seconds. 0 or less, the default, means no pings: servers and
	// proxies with gRPC's default policy close connections that send more than one ping in 5
	// minutes.
	//
	// Without pings, the client notices a silent member by its unanswered requests, unless
	// SpreadEvenly or DisableProbes is set. TCP keepalives and a TCP timeout detect within 25
	// seconds that a host or network is gone. The client does not set these up on connections that
	// a dialer among DialOptions made.
	DialKeepAliveTime time.Duration `json:"dial-keep-alive-time"`

	// DialKeepAliveTimeout is how long the answer to an HTTP/2 ping may take before the connection
	// is closed. 0 means 5 seconds. It has an effect only if DialKeepAliveTime is set.
	DialKeepAliveTimeout time.Duration `json:"dial-keep-alive-timeout"`

	// MaxCallSendMsgSize is the size of the largest request, in bytes. A larger request fails with
	// codes.ResourceExhausted before it is sent. 0 means 2 MiB. Servers also have a limit (the
	// server's flag --max-request-bytes).
	MaxCallSendMsgSize int

	// MaxCallRecvMsgSize is the size of the largest response, in bytes. 0 means math.MaxInt32. If
	// MaxCallSendMsgSize is set as well, MaxCallRecvMsgSize must not be below it.
	MaxCallRecvMsgSize int

	// TLS holds the client's TLS settings. Nil means the zero tls.Config for endpoints with the
	// scheme https or unixs, and no TLS for other endpoints. Without a ServerName, each endpoint's
	// certificate is checked against that endpoint's host. The client does not change the
	// tls.Config, and the program must not change it while the client lives.
	TLS *tls.Config

	// Username and Password log the client in, if both are set; one alone is ignored. New logs in
	// once. When a server refuses the token, the client logs in again. If the cluster runs without
	// authentication, no login is needed, and New returns no error.
	Username string `json:"username"`
	Password string `json:"password"`

	// Token is an authentication token that is sent with every request, for clusters whose tokens
	// are issued elsewhere. The client never renews it. New returns ErrMutuallyExclusiveCfg if a
	// Username or Password is set as well.
	Token string `json:"token"`

	// RejectOldCluster makes New ask all endpoints for their versions. New returns ErrOldCluster if
	// a version is older than 3.6. If no endpoint answers within DialTimeout, New returns the
	// errors of the requests.
	RejectOldCluster bool `json:"reject-old-cluster"`

	// DialOptions are further options for the gRPC connection, such as interceptors and stats
	// handlers, which see each attempt of a request. DialOptions also apply to connections of
	// Client.Dial. The client puts them after its own options. Each option has the effect that gRPC
	// documents, with these exceptions:
	//
	//   - Transport credentials are used instead of the field TLS, and for all schemes of
	//     endpoints. The client then does not close the connection of a silent member. New returns
	//     an error for a credentials bundle unless WithTransportCredentials(nil) comes before it.
	//   - A dialer replaces the client's own dialer, which uses the proxy that the environment
	//     names, and limits how long a TCP connection may be silent.
	//   - Message limits in default call options apply only to the program's own gRPC calls, on
	//     ActiveConnection and on connections of Dial. The limits of the client's calls are
	//     MaxCallSendMsgSize and MaxCallRecvMsgSize.
	//   - A default service config is used only if WithDisableServiceConfig is given, too. The
	//     service config then replaces the client's balancer.
	//   - WithBlock, WithTimeout, WithReturnConnectionError and FailOnNonTempDialError have no
	//     effect, because New does not wait for a connection.
	DialOptions []grpc.DialOption

	// Context is the parent of the client's context. When it ends, the client's streams end, its
	// connection is closed, and its calls fail as they do after Client.Close. The program must
	// still call Close. Nil means a context that never ends.
	Context context.Context

	// Logger receives the client's log entries. If Logger is nil, a logger is made from LogConfig.
	// If both are nil, the client uses the default logger that Client.GetLogger describes.
	Logger *zap.Logger

	// LogConfig is the configuration of the logger if Logger is nil. If zap cannot make a logger
	// from LogConfig, New returns zap's error.
	LogConfig *zap.Config

	// PermitWithoutStream makes the client send HTTP/2 pings also on connections without a request
	// or stream. It has an effect only if DialKeepAliveTime is set. A server that does not allow
	// such pings closes the connection.
	PermitWithoutStream bool `json:"permit-without-stream"`

	// SpreadEvenly disables health-aware balancing: requests go round-robin over all connected
	// members.
	//
	// By default, the client avoids members that are silent or slow:
	//
	//   - A member is silent if it answers no request while its peers do, even if it answers health
	//     checks. The client stops sending it new requests within half a second. The client also
	//     closes the connection to it, so that reads move to another member within about a second.
	//   - A member that is much slower than its peers gets new requests only as fast as it answers.
	SpreadEvenly bool `json:"spread-evenly"`

	// DisableProbes turns off health checks and the client's own progress requests, for servers and
	// proxies that cannot handle them. A silent member or watch stream is then found by HTTP/2
	// pings only.
	//
	// Without progress requests, a watch learns of newer revisions only from events and progress
	// notices. If none come and its connection breaks, the watch resumes from an old revision. If
	// that revision was compacted meanwhile, the watch ends with rpctypes.ErrCompacted.
	DisableProbes bool `json:"disable-probes"`

	// MaxUnaryRetries is the largest number of attempts of one request, the first attempt included.
	// 0 means 100. "Retries" in the package documentation says which requests are sent again.
	// MaxUnaryRetries does not limit how often the streams of watches and keepalives are opened
	// again.
	MaxUnaryRetries uint `json:"max-unary-retries"`

	// BackoffWaitBetween is the first wait between two attempts of a request. 0 means 25 ms. Waits
	// double up to 1.5 seconds, or up to BackoffWaitBetween if that is longer. The first attempts,
	// one for each endpoint, are made without a wait.
	BackoffWaitBetween time.Duration `json:"backoff-wait-between"`

	// BackoffJitterFraction is the share by which a wait between two attempts is made longer or
	// shorter at random: 0.1 means by up to a tenth. 0 means 0.1; the largest value is 1.
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

// withDefaults returns a copy of c in which fields with zero values have their defaults.
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

// validate returns an error that names the bad values of c, or nil. c must have its defaults filled
// in.
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
	// The default of MaxCallSendMsgSize may exceed MaxCallRecvMsgSize: the program did not choose
	// it.
	if c.MaxCallRecvMsgSize < c.MaxCallSendMsgSize && c.MaxCallSendMsgSize != defaultMaxSendBytes {
		errs = append(errs, fmt.Errorf(
			"etcdclient: MaxCallRecvMsgSize %d is below MaxCallSendMsgSize %d",
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
