package etcdfake

import (
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// Option configures Start and StartCluster.
type Option func(*options)

type options struct {
	cluster     []etcdfake.Option
	canned      map[string]proto.Message
	noHealth    bool
	ownWatchIDs bool
}

// With adds options of the public package etcdfake.
func With(opts ...etcdfake.Option) Option {
	return func(o *options) { o.cluster = append(o.cluster, opts...) }
}

// WithVersion sets the etcd version of the members, as WithVersion of the public package does.
func WithVersion(v string) Option { return With(etcdfake.WithVersion(v)) }

// WithUser adds a user that may read and write all keys, and turns authentication on.
func WithUser(name, password string) Option {
	all := &authpb.Permission{PermType: authpb.READWRITE, Key: []byte{0}, RangeEnd: []byte{0}}
	return With(etcdfake.WithUsers(etcdfake.User{Name: name, Password: password,
		Permissions: []*authpb.Permission{all}}))
}

// WithCanned makes Put, Range and Txn answer with prebuilt messages, and turns the request log off.
// It is for benchmarks of a client, in which the server should use little CPU time. If a script,
// failure or delay is set for one of these methods, the method no longer uses its prebuilt answer.
func WithCanned() Option { return func(o *options) { o.canned = cannedAnswers() } }

// WithoutHealth makes the methods of the gRPC health service answer Unimplemented, as a server
// without this service does.
func WithoutHealth() Option { return func(o *options) { o.noHealth = true } }

// WithEtcd35 makes the server look like etcd 3.5: it has no RangeStream and no health service, and
// it reports the version 3.5.21.
func WithEtcd35() Option {
	return func(o *options) {
		WithoutHealth()(o)
		WithVersion("3.5.21")(o)
	}
}

// WithOwnWatchIDs makes the server choose all watch ids itself, as a grpc-proxy does. The server
// ignores the ids that clients ask for.
func WithOwnWatchIDs() Option { return func(o *options) { o.ownWatchIDs = true } }

// cannedAnswers returns the prebuilt answers of Put, Range and Txn, by the full name of the method.
func cannedAnswers() map[string]proto.Message {
	hdr := &pb.ResponseHeader{ClusterId: 1, MemberId: 1, Revision: 2, RaftTerm: 2}
	kv := &mvccpb.KeyValue{Key: []byte("key"), Value: []byte("value"), CreateRevision: 2,
		ModRevision: 2, Version: 1}
	return map[string]proto.Message{
		pb.KV_Put_FullMethodName: &pb.PutResponse{Header: hdr},
		pb.KV_Range_FullMethodName: &pb.RangeResponse{Header: hdr, Kvs: []*mvccpb.KeyValue{kv},
			Count: 1},
		pb.KV_Txn_FullMethodName: &pb.TxnResponse{Header: hdr, Succeeded: true,
			Responses: []*pb.ResponseOp{
				{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: hdr}}},
			}},
	}
}
