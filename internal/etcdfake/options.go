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
	version          string
	canned           map[string]proto.Message
	without          string // a method that is left out
	noHealth         bool
	ownWatchIDs      bool
	progressInterval time.Duration
	rangeChunk       int
}

func defaultOptions() options {
	return options{
		version:          version.Version,
		progressInterval: 10 * time.Minute, // as in etcd
		rangeChunk:       100,
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

// WithVersion sets the version that Status reports; the default is the version of the etcd api
// module.
func WithVersion(v string) Option { return func(o *options) { o.version = v } }

// WithCanned makes Put, Range and Txn answer with prebuilt messages and turns the request log off:
// for benchmarks of a client, where the server should cost little. A script, failure or delay set
// for one of the methods takes effect as usual.
func WithCanned() Option { return func(o *options) { o.canned = cannedAnswers() } }

// WithoutHealth leaves the gRPC health service out.
func WithoutHealth() Option { return func(o *options) { o.noHealth = true } }

// WithEtcd35 makes the server look like etcd 3.5: no RangeStream, no health service, and a 3.5
// version.
func WithEtcd35() Option {
	return func(o *options) {
		o.without, o.noHealth, o.version = pb.KV_RangeStream_FullMethodName, true, "3.5.21"
	}
}

// WithOwnWatchIDs makes the default Watch ignore the ids that clients choose, as a grpc-proxy does.
func WithOwnWatchIDs() Option { return func(o *options) { o.ownWatchIDs = true } }

// WithRangeChunk sets how many keys the default RangeStream puts into one chunk; the default is
// 100.
func WithRangeChunk(n int) Option { return func(o *options) { o.rangeChunk = n } }
