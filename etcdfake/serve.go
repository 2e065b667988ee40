package etcdfake

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/etcdfake/internal/store"
)

// maxMessage is the largest message that a member accepts, in bytes: etcd's limit for a request,
// 1.5 MiB, plus 512 KiB.
const maxMessage = 2 << 20

// wait waits for d. If ctx ends first, it returns the gRPC status of the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// serveUnary answers a request of a unary method. It adds the request to the request log and calls
// the function given to On. If that function has not decided otherwise, the store answers the
// request.
func (m *Member) serveUnary(
	ctx context.Context, meth *method, req proto.Message,
) (resp proto.Message, err error) {
	record, call := m.c.log.begin(ctx, m, meth.name, 0, req)
	defer func() { m.c.log.end(record, err) }()
	act, err := m.c.hooks.decide(call)
	if err != nil {
		return nil, err
	}
	if act.kind == answer {
		return m.checkAnswer(meth, act.answer)
	}
	if err := m.admit(ctx, req); err != nil {
		return nil, err
	}
	resp, _, err = m.c.store.Call(m.caller(tokens(ctx)), string(meth.name), req)
	if err != nil {
		return nil, err
	}
	if needsLeader(req) {
		if err := wait(ctx, m.lagging()); err != nil {
			return nil, err
		}
	}
	if act.kind == lose {
		return nil, act.err
	}
	return m.edited(meth, act.edit, resp)
}

// edited returns msg if the parameter edit is nil. Otherwise it returns a copy of msg that edit has
// changed. If edit expects a message of another type, edited fails the test and returns an error.
func (m *Member) edited(
	meth *method, edit editFunc, msg proto.Message,
) (proto.Message, error) {
	if edit == nil {
		return msg, nil
	}
	msg = proto.Clone(msg)
	if edit(msg) {
		return msg, nil
	}
	text := fmt.Sprintf(
		"etcdfake: On of %s has edited another message than it returns, which is %s",
		meth.name, meth.desc.Output().FullName())
	m.c.tb.Error(text)
	return nil, status.Error(codes.Internal, text)
}

// checkAnswer returns msg, which a function given to On has passed to Answer. It fails the test and
// returns an error if msg is not of the type that the RPC method meth returns.
func (m *Member) checkAnswer(meth *method, msg proto.Message) (proto.Message, error) {
	want := meth.desc.Output().FullName()
	if msg == nil || msg.ProtoReflect().Descriptor().FullName() != want {
		text := fmt.Sprintf("etcdfake: On of %s has answered with %T; the method returns %s",
			meth.name, msg, want)
		m.c.tb.Error(text)
		return nil, status.Error(codes.Internal, text)
	}
	return msg, nil
}

// admit does what a member does before it handles a request, in this order:
//
//   - It waits for the end of a defragmentation.
//   - If the member is a learner, it refuses requests that a learner does not answer.
//   - It refuses a request whose metadata are invalid, or require a leader while there is none.
//   - If the request needs a leader, it waits for one.
func (m *Member) admit(ctx context.Context, req proto.Message) error {
	if err := m.awaitDefragmentation(ctx); err != nil {
		return err
	}
	if m.c.store.IsLearner(m.id) && !learnersAnswer(req) {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	if err := m.checkMetadata(ctx); err != nil {
		return err
	}
	if !needsLeader(req) {
		return nil
	}
	return m.c.awaitLeader(ctx, rpctypes.ErrGRPCTimeout)
}

// checkMetadata returns an error if the client API version in the metadata is not valid UTF-8, or
// if the metadata require a leader and the cluster has none.
func (m *Member) checkMetadata(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(rpctypes.MetadataClientAPIVersionKey); len(v) > 0 && !utf8.ValidString(v[0]) {
		return rpctypes.ErrGRPCInvalidClientAPIVersion
	}
	if requiresLeader(ctx) && m.c.store.Leader() == 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	return nil
}

func requiresLeader(ctx context.Context) bool {
	md, _ := metadata.FromIncomingContext(ctx)
	v := md.Get(rpctypes.MetadataRequireLeaderKey)
	return len(v) > 0 && v[0] == rpctypes.MetadataHasLeader
}

// learnersAnswer reports whether a learner answers a request.
func learnersAnswer(req proto.Message) bool {
	switch r := req.(type) {
	case *pb.StatusRequest:
		return true
	case *pb.RangeRequest:
		return r.Serializable
	}
	return false
}

// needsLeader reports whether a request needs a leader and therefore waits for one. This holds for
// writes, and for reads in which the leader takes part, such as linearizable reads.
func needsLeader(req proto.Message) bool {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return !r.Serializable
	case *pb.TxnRequest:
		return len(r.Success)+len(r.Failure) == 0 || !store.Serializable(r)
	case *pb.MemberListRequest:
		return r.Linearizable
	case *pb.LeaseLeasesRequest, *pb.StatusRequest, *pb.DefragmentRequest, *pb.HashRequest,
		*pb.HashKVRequest, *pb.MoveLeaderRequest:
		return false
	}
	return true
}

// tokens returns the authentication tokens in the request's metadata.
func tokens(ctx context.Context) []string {
	md, _ := metadata.FromIncomingContext(ctx)
	if t := md.Get(rpctypes.TokenFieldNameGRPC); len(t) > 0 {
		return t
	}
	return md.Get(rpctypes.TokenFieldNameSwagger)
}

// interceptUnary adds a call of the health service to the request log, and does what the function
// given to On decides. It passes a call of etcd's services on to handler, because serveUnary does
// all this for them.
func (m *Member) interceptUnary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (resp any, err error) {
	name := Method(info.FullMethod)
	if healthMethods[name] == nil {
		return handler(ctx, req)
	}
	record, call := m.c.log.begin(ctx, m, name, 0, req.(proto.Message))
	defer func() { m.c.log.end(record, err) }()
	act, err := m.c.hooks.decide(call)
	if err != nil {
		return nil, err
	}
	if act.kind == answer {
		return m.checkAnswer(healthMethods[name], act.answer)
	}
	resp, err = handler(ctx, req)
	switch {
	case err != nil:
		return nil, err
	case act.kind == lose:
		return nil, act.err
	}
	return m.edited(healthMethods[name], act.edit, resp.(proto.Message))
}

// interceptStream wraps each stream of the health service in a serverStream. The serverStream logs
// the messages, passes them to the function given to On, and lets EndStreams end the stream. A
// stream of etcd's services only goes on to handler, because serveStream wraps it.
func (m *Member) interceptStream(
	srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler,
) error {
	meth := healthMethods[Method(info.FullMethod)]
	if meth == nil {
		return handler(srv, ss)
	}
	s := m.newStream(meth, ss)
	defer s.cancel()
	m.mu.Lock()
	m.streams[s] = struct{}{}
	m.mu.Unlock()
	defer m.forget(s)
	err := handler(srv, s)
	select {
	case <-s.ended:
		return s.err
	default:
		return err
	}
}

// olderThan reports whether a version such as "3.5.9" is older than the version major.minor. It
// returns false if the version cannot be parsed.
func olderThan(version string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || a == major && b < minor
}
