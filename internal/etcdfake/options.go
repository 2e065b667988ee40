package etcdfake

import (
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/version"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

// Option configures Start.
type Option func(*options)

type options struct {
	name             string
	version          string
	state            *state
	now              func() time.Time
	canned           map[string]proto.Message
	without          []string
	noHealth         bool
	ownWatchIDs      bool
	progressInterval time.Duration
	fragmentEvents   int
	rangeChunk       int
	snapshotSize     int
	server           []grpc.ServerOption
}

func defaultOptions() options {
	return options{
		name:           "fake",
		version:        version.Version,
		now:            time.Now,
		fragmentEvents: 2,
		rangeChunk:     100,
		snapshotSize:   128 << 10,
	}
}

// serverOptions let clients send large requests and ping as often as they like.
func serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second,
			PermitWithoutStream: true}),
	}
}

// WithName sets the member's name; the default is "fake".
func WithName(name string) Option { return func(o *options) { o.name = name } }

// WithVersion sets the version that Status tells; the default is the version of the etcd api
// module.
func WithVersion(v string) Option { return func(o *options) { o.version = v } }

// WithStateOf makes the server share the keys, leases, members and users of another one, as a
// second member of its cluster.
func WithStateOf(other *Server) Option { return func(o *options) { o.state = other.state } }

// WithNow sets the clock that leases expire by; the default is time.Now. It must be safe for
// concurrent use.
func WithNow(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithCanned makes Put, Range and Txn answer with prebuilt messages and turns the request log off:
// for benchmarks of a client, where the server should cost little. Given messages replace the
// prebuilt ones of the same type. A script, failure or delay set for one of the methods takes
// effect as usual.
func WithCanned(answers ...proto.Message) Option {
	return func(o *options) { o.canned = cannedAnswers(answers) }
}

// WithoutMethods leaves methods out, so that calls of them end with Unimplemented. Names are as for
// Server.Calls.
func WithoutMethods(names ...string) Option {
	return func(o *options) { o.without = append(o.without, names...) }
}

// WithoutHealth leaves the gRPC health service out.
func WithoutHealth() Option { return func(o *options) { o.noHealth = true } }

// WithEtcd35 makes the server look like etcd 3.5: no RangeStream, no health service, and a 3.5
// version.
func WithEtcd35() Option {
	return func(o *options) {
		o.without = append(o.without, pb.KV_RangeStream_FullMethodName)
		o.noHealth = true
		o.version = "3.5.21"
	}
}

// WithOwnWatchIDs makes the default Watch ignore the ids that clients choose, as a grpc-proxy does.
func WithOwnWatchIDs() Option { return func(o *options) { o.ownWatchIDs = true } }

// WithProgressInterval makes the default Watch send progress to watchers created with
// progress_notify every d; 0, the default, means never.
func WithProgressInterval(d time.Duration) Option {
	return func(o *options) { o.progressInterval = d }
}

// WithFragmentEvents sets how many events the default Watch puts into one fragment for watchers
// that allow fragments; the default is 2.
func WithFragmentEvents(n int) Option { return func(o *options) { o.fragmentEvents = n } }

// WithRangeChunk sets how many keys the default RangeStream puts into one chunk; the default is
// 100.
func WithRangeChunk(n int) Option { return func(o *options) { o.rangeChunk = n } }

// WithSnapshotSize sets the size in bytes of the default Snapshot without its SHA-256 trailer,
// rounded up to 512.
func WithSnapshotSize(n int) Option { return func(o *options) { o.snapshotSize = n } }

// WithServerOptions adds options to the gRPC server, for example credentials.
func WithServerOptions(opts ...grpc.ServerOption) Option {
	return func(o *options) { o.server = append(o.server, opts...) }
}
