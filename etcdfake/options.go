package etcdfake

import (
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/version"
	"google.golang.org/grpc"
)

// Option configures New.
type Option func(*options)

type options struct {
	members  int
	learner  bool
	version  string
	quota    int64
	tokenTTL time.Duration
	progress time.Duration
	election time.Duration
	users    []User
	server   []grpc.ServerOption
}

func defaultOptions() options {
	return options{members: 1, version: version.Version, tokenTTL: 5 * time.Minute,
		progress: 10 * time.Minute, election: time.Second}
}

// minLeaseTTL returns the shortest TTL that etcd grants, in seconds. It is one and a half election
// timeouts, rounded up to whole seconds.
func (o options) minLeaseTTL() int64 {
	election := o.election.Milliseconds()
	return max((election*3/2+999)/1000, 1)
}

// requestTimeout returns how long a request waits for a leader. As in etcd, it is 5 seconds plus
// two election timeouts.
func (o options) requestTimeout() time.Duration { return 5*time.Second + 2*o.election }

// leaderlessStreams returns the time from the loss of the leader to the end of the streams that
// require a leader.
func (o options) leaderlessStreams() time.Duration { return 3 * o.election }

// WithMembers sets how many members the cluster has; the default is 1. All of them vote, except the
// learner that WithLearner makes. The first member is the leader.
func WithMembers(n int) Option { return func(o *options) { o.members = n } }

// WithLearner makes the last member a learner that is in sync, so that it can be promoted. The
// cluster needs at least two members.
func WithLearner() Option { return func(o *options) { o.learner = true } }

// WithVersion sets the etcd version of the members, such as "3.5.9". The default is the version of
// the module go.etcd.io/etcd/api/v3. A member below 3.7 has no RangeStream.
func WithVersion(v string) Option { return func(o *options) { o.version = v } }

// WithQuota sets how many bytes the members may store. The fake estimates the size that etcd's
// database file would have. A write that does not fit is refused and raises the alarm NOSPACE,
// which stays until it is disarmed. Without this option Status reports etcd's default, 2 GiB, but
// no quota is enforced.
func WithQuota(bytes int64) Option { return func(o *options) { o.quota = bytes } }

// WithTokenTTL sets how long an authentication token is valid after its last use. The default is
// etcd's, 5 minutes.
func WithTokenTTL(d time.Duration) Option { return func(o *options) { o.tokenTTL = d } }

// WithProgressInterval sets the interval of progress notices. A watch that was created with
// progress notices gets a notice after each interval in which it had no events. The default is
// etcd's, 10 minutes.
func WithProgressInterval(d time.Duration) Option { return func(o *options) { o.progress = d } }

// WithElectionTimeout sets etcd's --election-timeout; the default is etcd's, 1 second. The shortest
// lease TTL is one and a half election timeouts, rounded up to whole seconds: 2 seconds by default.
// The option also changes how long calls and streams wait without a leader: see LoseLeader.
func WithElectionTimeout(d time.Duration) Option { return func(o *options) { o.election = d } }

// WithServerOptions adds options to the gRPC servers of the members, after the fake's own options.
// Examples are a grpc.StatsHandler, interceptors, and grpc.Creds for TLS. With TLS, clients need
// endpoints with the scheme "https".
//
// For interceptors use grpc.ChainUnaryInterceptor and grpc.ChainStreamInterceptor. These two
// options may be given more than once. An interceptor sees a request before it is logged, and
// before the function given to On sees it. A unary request of the health service reaches the
// interceptor only after that.
func WithServerOptions(opts ...grpc.ServerOption) Option {
	return func(o *options) { o.server = append(o.server, opts...) }
}

// User is a user and its permissions. The user named "root" may do everything.
type User struct {
	Name     string // not empty
	Password string // 72 bytes at most
	// Permissions are the user's rights. The function [New] makes a role that is named after the
	// user, grants the permissions to this role, and gives the role to the user.
	Permissions []*authpb.Permission
}

// WithUsers adds users and turns authentication on. If no user is named "root", New adds a user
// "root" with the password "root", because etcd needs a user "root" to turn authentication on.
func WithUsers(users ...User) Option {
	return func(o *options) { o.users = append(o.users, users...) }
}
