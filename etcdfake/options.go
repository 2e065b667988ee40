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

// minLeaseTTL returns the shortest TTL that etcd grants, in seconds: one and a half elections,
// rounded up.
func (o options) minLeaseTTL() int64 {
	election := o.election.Milliseconds()
	return max((election*3/2+999)/1000, 1)
}

// requestTimeout returns how long a request waits for a leader. As in etcd, this is enough for two
// elections.
func (o options) requestTimeout() time.Duration { return 5*time.Second + 2*o.election }

// leaderlessStreams returns how long a stream that requires a leader goes on without a leader.
func (o options) leaderlessStreams() time.Duration { return 3 * o.election }

// WithMembers sets how many members the cluster has; the default is 1. All of them vote, and the
// first one leads.
func WithMembers(n int) Option { return func(o *options) { o.members = n } }

// WithLearner makes the last member a learner that is in sync, so that it can be promoted. The
// cluster needs at least two members.
func WithLearner() Option { return func(o *options) { o.learner = true } }

// WithVersion sets the version of the servers, "3.5.9". The default is the version of the module
// go.etcd.io/etcd/api/v3. A server below 3.7 has no RangeStream.
func WithVersion(v string) Option { return func(o *options) { o.version = v } }

// WithQuota sets how many bytes the members may store. The default is etcd's, 2 GiB, which the fake
// does not enforce. A write that does not fit is refused and raises the alarm NOSPACE, which stays
// until it is disarmed. The fake estimates the size that etcd's database file would have.
func WithQuota(bytes int64) Option { return func(o *options) { o.quota = bytes } }

// WithTokenTTL sets how long a token lives after its last use; the default is etcd's, 5 minutes.
func WithTokenTTL(d time.Duration) Option { return func(o *options) { o.tokenTTL = d } }

// WithProgressInterval sets how often a watch that asked for it gets a progress notice while it has
// no events; the default is etcd's, 10 minutes.
func WithProgressInterval(d time.Duration) Option { return func(o *options) { o.progress = d } }

// WithElectionTimeout sets etcd's --election-timeout; the default is etcd's, 1 second. The shortest
// lease is one and a half times as long, rounded up to whole seconds: 2 seconds by default. The
// election timeout also decides how long calls and streams wait without a leader: see LoseLeader.
func WithElectionTimeout(d time.Duration) Option { return func(o *options) { o.election = d } }

// WithServerOptions adds options to the gRPC servers of the members, after the fake's own options:
// a grpc.StatsHandler, interceptors, or grpc.Creds for TLS. With TLS, clients need endpoints with
// the scheme "https". Give interceptors with grpc.ChainUnaryInterceptor and
// grpc.ChainStreamInterceptor, which may be repeated. They see a request before the log and On do.
func WithServerOptions(opts ...grpc.ServerOption) Option {
	return func(o *options) { o.server = append(o.server, opts...) }
}

// User is a user and what it may do. The user named "root" may do everything.
type User struct {
	Name        string               // not empty
	Password    string               // 72 bytes at most
	Permissions []*authpb.Permission // of a role that New makes for the user, with the user's name
}

// WithUsers adds users and turns authentication on. If none of them is named "root", a user "root"
// with the password "root" is added, because etcd needs one.
func WithUsers(users ...User) Option {
	return func(o *options) { o.users = append(o.users, users...) }
}
