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

// minLeaseTTL is what etcd grants at least, in seconds: one and a half elections, rounded up.
func (o options) minLeaseTTL() int64 {
	election := o.election.Milliseconds()
	return max((election*3/2+999)/1000, 1)
}

// requestTimeout is how long a request waits for a leader: etcd gives it time for two elections.
func (o options) requestTimeout() time.Duration { return 5*time.Second + 2*o.election }

// leaderlessStreams is how long a stream that requires a leader goes on without one.
func (o options) leaderlessStreams() time.Duration { return 3 * o.election }

// WithMembers sets how many members the cluster has; the default is 1. All of them vote, and the
// first one leads.
func WithMembers(n int) Option { return func(o *options) { o.members = n } }

// WithLearner makes the last member a learner that is in sync: it can be promoted. It takes a
// cluster of two members at least.
func WithLearner() Option { return func(o *options) { o.learner = true } }

// WithVersion sets the version of the servers, "3.5.9". The default is the version of the module
// go.etcd.io/etcd/api/v3. A server below 3.7 has no RangeStream.
func WithVersion(v string) Option { return func(o *options) { o.version = v } }

// WithQuota sets how many bytes the members may store; the default is etcd's, 2 GiB, which is not
// enforced. A write that does not fit is refused and raises the alarm NOSPACE, which stays until
// it is disarmed. The fake estimates what a file of etcd's would take.
func WithQuota(bytes int64) Option { return func(o *options) { o.quota = bytes } }

// WithTokenTTL sets how long a token lives after its last use; the default is etcd's, 5 minutes.
func WithTokenTTL(d time.Duration) Option { return func(o *options) { o.tokenTTL = d } }

// WithProgressInterval sets how often a watch that asked for it gets a progress notice while it has
// no events; the default is etcd's, 10 minutes.
func WithProgressInterval(d time.Duration) Option { return func(o *options) { o.progress = d } }

// WithElectionTimeout sets etcd's --election-timeout; the default is etcd's, a second. The shortest
// lease is one and a half times as long, in whole seconds, rounded up: 2 seconds. It also decides
// how long calls and streams wait without a leader, see LoseLeader.
func WithElectionTimeout(d time.Duration) Option { return func(o *options) { o.election = d } }

// WithServerOptions adds options to the gRPC servers of the members, after the fake's own: TLS with
// grpc.Creds, which endpoints with the scheme "https" are for, a grpc.StatsHandler, interceptors.
// An interceptor sees a request before the log and On do. Give interceptors with
// grpc.ChainUnaryInterceptor and grpc.ChainStreamInterceptor, which may be repeated.
func WithServerOptions(opts ...grpc.ServerOption) Option {
	return func(o *options) { o.server = append(o.server, opts...) }
}

// User is a user and what it may do. The user named "root" may do everything.
type User struct {
	Name        string               // not empty
	Password    string               // 72 bytes at most
	Permissions []*authpb.Permission // of a role of the user's own, which has its name
}

// WithUsers adds users and turns authentication on. If none of them is named "root", a user "root"
// with the password "root" is added, because etcd needs one.
func WithUsers(users ...User) Option {
	return func(o *options) { o.users = append(o.users, users...) }
}
