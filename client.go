package clientv3

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"go.etcd.io/etcd/client/v3/internal/authtoken"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/endpoint"
	"go.etcd.io/etcd/client/v3/internal/origin"
	"go.etcd.io/etcd/client/v3/internal/resolver"
	"go.etcd.io/etcd/client/v3/internal/retry"
	"go.etcd.io/etcd/client/v3/internal/watch"
	"go.etcd.io/etcd/client/v3/internal/wire"
)

// Client is a connection to an etcd cluster. It embeds KV, Lease, Watcher, Auth, Cluster and
// Maintenance, which send the requests. A Client is safe for concurrent use, and is meant to be
// shared and to live as long as the program. The program must close it, and must not change its
// exported fields while it is in use.
//
// Copies of a Client share one connection and all internal state: closing one copy closes all. A
// zero Client has no endpoints, its embedded interfaces are nil, and its Close does nothing.
type Client struct {
	KV
	Lease
	Watcher
	Auth
	Cluster
	Maintenance

	// Username, Password and Token are copies of the Config's fields of the same names.
	Username string
	Password string
	Token    string

	*clientState // nil in a zero Client
}

// clientState is the state that all copies of a Client share. It is a struct of its own because
// programs copy Client values.
type clientState struct {
	// read-only after New
	cfg    Config // with defaults filled in
	ctx    context.Context
	cancel context.CancelFunc
	user   userOptions
	rpc    grpc.ClientConnInterface // sends on conn, with retries; unconnected{} if conn is nil

	// read-only after New; nil in a client that NewCtxClient made, which has no connection
	creds    *endpoint.Credentials
	tokens   *authtoken.Source // also nil if the Config has neither a token nor a user
	conn     *grpc.ClientConn
	resolver *resolver.Resolver
	tracker  *balancer.Tracker
	progress *watch.ProgressServers

	// safe for concurrent use without mu
	lg         atomic.Pointer[zap.Logger]
	background sync.WaitGroup // goroutines that end with ctx; Close waits for them
	retryLog   everySecond
	healthLog  everySecond

	// guarded by mu
	mu        sync.Mutex
	endpoints []namedEndpoint
	named     []namedEndpoint // the endpoints last given to New or SetEndpoints, not those of Sync
}

// newState returns the state of a client without a connection. The context of the client descends
// from parent.
func newState(parent context.Context) *clientState {
	s := &clientState{rpc: unconnected{}}
	s.ctx, s.cancel = context.WithCancel(parent)
	return s
}

// made reports whether c has a clientState. A nil Client and a zero Client have no clientState.
func (c *Client) made() bool { return c != nil && c.clientState != nil }

// Option changes a client that NewCtxClient makes.
type Option func(*Client)

// New returns a client made from cfg. It does not wait for a connection; calls of the client wait
// for one until their contexts end. New waits only for the login, if cfg has a Username and
// Password, and for the endpoints' versions, if RejectOldCluster is set. DialTimeout bounds both
// waits.
//
// The error is one of:
//
//   - ErrNoAvailableEndpoints or ErrMutuallyExclusiveCfg;
//   - an error that names the bad value in cfg;
//   - rpctypes.ErrAuthFailed or context.DeadlineExceeded;
//   - ErrOldCluster, or the joined errors of the requests for the versions, if RejectOldCluster is
//     set.
//
// If New returns an error, it leaves no goroutine and no connection behind.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{clientState: newState(cfg.Context), Username: cfg.Username, Password: cfg.Password,
		Token: cfg.Token}
	c.cfg = cfg
	switch {
	case cfg.Token != "":
		c.tokens = authtoken.Static(cfg.Token)
	case cfg.Username != "" && cfg.Password != "":
		c.tokens = authtoken.New(c.ctx, c.authenticate)
	}
	for _, step := range []func() error{c.makeLogger, c.connect, c.login, c.rejectOldCluster} {
		if err := step(); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	c.attachEngines()
	if cfg.AutoSyncInterval > 0 {
		// The goroutine ends with c.ctx; Close waits for it.
		c.background.Go(c.autoSync)
	}
	return c, nil
}

// NewFromURL returns a client with one endpoint and default settings. Its errors are those of New.
func NewFromURL(url string) (*Client, error) { return NewFromURLs([]string{url}) }

// NewFromURLs returns a client with several endpoints and default settings. Its errors are those of
// New.
func NewFromURLs(urls []string) (*Client, error) { return New(Config{Endpoints: urls}) }

// NewCtxClient returns a client without a connection, which lives until ctx ends or Close is
// called. The program may set embedded interfaces, such as KV, to its own implementations.
//
// Sync, Dial, and the methods of the other embedded interfaces return ErrNoAvailableEndpoints. A
// watch ends with ErrNoAvailableEndpoints. A keepalive channel is closed, and the reason
// ([KeepAliveEnd.Err]) wraps ErrNoAvailableEndpoints. SetEndpoints only stores the endpoints.
func NewCtxClient(ctx context.Context, opts ...Option) *Client {
	c := &Client{clientState: newState(ctx)}
	c.attachEngines()
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// authenticate logs in once and returns the token. c.tokens calls it when a token is needed.
func (c *Client) authenticate(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(origin.Client(ctx), c.cfg.DialTimeout)
	defer cancel()
	resp, err := unary(ctx, RetryAuthClient(c).Authenticate,
		&pb.AuthenticateRequest{Name: c.cfg.Username, Password: c.cfg.Password})
	return resp.GetToken(), err
}

// connect parses the endpoints of the Config and makes the connection, which is closed when c.ctx
// ends.
func (c *Client) connect() (err error) {
	c.creds = endpoint.NewCredentials(c.cfg.TLS, balancer.Track)
	c.progress = watch.NewProgressServers()
	if c.user, err = c.inspectOptions(); err != nil {
		return err
	}
	eps, err := c.usable(c.cfg.Endpoints)
	if err != nil {
		return err
	}
	c.setEndpoints(eps, true)
	c.tracker = balancer.New(c.ctx, balancer.Options{Even: c.cfg.SpreadEvenly,
		HealthCheck: !c.cfg.DisableProbes && !c.user.noHealthCheck,
		NoProbes:    c.cfg.DisableProbes, Report: c.logHealth, Unreachable: c.logUnreachable})
	c.conn, c.resolver, err = c.dial(c.tracker, eps)
	if err != nil {
		return err
	}
	c.rpc = retry.New(c.conn, c.retryConfig())
	c.background.Add(1) // makes Close wait for the function below
	context.AfterFunc(c.ctx, func() {
		defer c.background.Done()
		_ = c.conn.Close() // fails only if the connection is closed already
	})
	return nil
}

// retryConfig returns the settings with which this client retries requests: on its own connection,
// on the connections that Maintenance methods make to one endpoint, and in RetryMaintenanceClient.
func (c *Client) retryConfig() retry.Config {
	jitter := c.cfg.BackoffJitterFraction
	cfg := retry.Config{
		MaxAttempts: c.cfg.MaxUnaryRetries,
		// The jitter of a backoff.Policy only shortens waits. So Base and Max are multiplied by
		// 1+jitter. A wait w then becomes a random wait between w·(1−jitter) and w·(1+jitter).
		Backoff: backoff.Policy{
			Base:   scale(c.cfg.BackoffWaitBetween, 1+jitter),
			Max:    scale(maxBackoffWait, 1+jitter),
			Jitter: 2 * jitter / (1 + jitter),
		},
		Endpoints:  func() int { return len(c.Endpoints()) },
		Life:       c.ctx,
		Closed:     errClosing,
		Metadata:   [2]string{rpctypes.MetadataClientAPIVersionKey, version.APIVersion},
		AttemptKey: balancer.AttemptKey{},
		Retrying:   c.logRetry,
		// The limits are call options, because dial options would also apply to the program's own
		// requests on ActiveConnection.
		Options: append([]grpc.CallOption{
			grpc.MaxCallSendMsgSize(c.cfg.MaxCallSendMsgSize),
			grpc.MaxCallRecvMsgSize(c.cfg.MaxCallRecvMsgSize),
		}, wire.Options()...),
	}
	if c.tokens != nil {
		cfg.Tokens = c.tokens
	}
	return cfg
}

// scale multiplies d by a factor. It returns the longest duration if the product overflows.
func scale(d time.Duration, by float64) time.Duration {
	if product := float64(d) * by; product < math.MaxInt64 {
		return time.Duration(product)
	}
	return math.MaxInt64
}

// attachEngines sets the embedded interfaces to implementations that send their requests through c.
func (c *Client) attachEngines() {
	c.KV = NewKV(c)
	c.Lease = NewLease(c)
	c.Watcher = NewWatcher(c)
	c.Auth = NewAuth(c)
	c.Cluster = NewCluster(c)
	c.Maintenance = NewMaintenance(c)
}

// login obtains the first token if the client has a user. It returns an error if the login fails.
// It returns nil if the cluster runs without authentication, because requests then need no token.
func (c *Client) login() error {
	if c.tokens == nil {
		return nil
	}
	return toErr(c.ctx, c.tokens.Ensure(c.ctx))
}

// WithRequireLeader returns a context whose requests fail on a member that has no leader, with
// rpctypes.ErrNoLeader, instead of waiting for a leader. A watch or keepalive started with the
// context ends with ErrNoLeader when its member loses the leader. Other outgoing metadata of ctx is
// kept. (Metadata key "hasleader".)
func WithRequireLeader(ctx context.Context) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx) // a copy: Set below does not change ctx
	if md == nil {
		md = metadata.MD{}
	}
	md.Set(rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	return metadata.NewOutgoingContext(ctx, md)
}

// IsInternalRequest reports whether ctx belongs to a request that the client makes by itself, such
// as a login, the automatic Sync, or the check whether a lease still exists. The documentation of
// [Config] lists these requests. Interceptors among Config.DialOptions can call IsInternalRequest
// to leave such requests out of metrics and access rules.
func IsInternalRequest(ctx context.Context) bool { return origin.IsClient(ctx) }

// inBackground starts f on a new goroutine and returns true. f must return when c.ctx ends. If the
// client is closed, inBackground does not start f and returns false.
func (c *Client) inBackground(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	// f ends with c.ctx, and Close waits for f. Close ends c.ctx while it holds mu. So every
	// goroutine is started before Close begins to wait.
	c.background.Go(f)
	return true
}

// Ctx returns a context that ends when the client is closed. Use it for work that outlives single
// requests but not the client, such as clean-up.
func (c *Client) Ctx() context.Context {
	if !c.made() {
		return context.Background() //nolint:forbidigo // a zero Client has no context of its own
	}
	return c.ctx
}

// ActiveConnection returns the client's gRPC connection, or nil for a client without a connection.
// Requests made directly on the connection carry the client's token, are not retried, and have
// gRPC's own message limits. The program must not close the connection; Close does.
func (c *Client) ActiveConnection() *grpc.ClientConn {
	if !c.made() {
		return nil
	}
	return c.conn
}

// Close ends the client, and returns when all its goroutines have ended. Watches and keepalives
// end, and their channels are closed. Calls under way and later calls return at once, with an error
// for which IsConnCanceled is true. Close may be called more than once, and from any goroutine.
func (c *Client) Close() error {
	if !c.made() {
		return nil
	}
	c.mu.Lock() // so that inBackground starts no goroutine after cancel
	c.cancel()
	c.mu.Unlock()
	var errs []error
	if c.Watcher != nil {
		errs = append(errs, c.Watcher.Close())
	}
	if c.Lease != nil {
		errs = append(errs, c.Lease.Close())
	}
	c.tracker.Close()
	if c.tokens != nil {
		c.tokens.Close()
	}
	c.background.Wait()
	return errors.Join(errs...)
}
