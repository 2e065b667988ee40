package fake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

const patience = 20 * time.Second

// pair is a real server and a fake one that get the same requests.
type pair struct {
	t          *testing.T
	real, fake *grpc.ClientConn
	dict       *dictionary
	tokens     map[string][2]string // by user: the tokens of the real server and of the fake
	watches    *watchPair
	about      string // names the current step in the messages of failures
}

func newPair(t *testing.T) *pair {
	t.Helper()
	m := etcdtest.Start(t, etcdtest.WithArgs("--strict-reconfig-check=true")).Members()[0]
	// The servers of etcdtest have this election timeout.
	c := etcdfake.New(t, etcdfake.WithElectionTimeout(100*time.Millisecond))
	p := &pair{t: t, real: m.Conn(t), fake: dial(t, c), dict: newDictionary(),
		tokens: make(map[string][2]string)}
	p.learnMembers()
	p.watches = newWatchPair(p)
	return p
}

func dial(t *testing.T, c *etcdfake.Cluster) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(c.Endpoints()[0], "http://"),
		grpc.WithContextDialer(c.Dialer()),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// learnMembers adds to the dictionary the IDs and names that the two servers have for their member.
func (p *pair) learnMembers() {
	want, got := new(pb.MemberListResponse), new(pb.MemberListResponse)
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	method := pb.Cluster_MemberList_FullMethodName
	require.NoError(p.t, p.real.Invoke(ctx, method, &pb.MemberListRequest{}, want))
	require.NoError(p.t, p.fake.Invoke(ctx, method, &pb.MemberListRequest{}, got))
	p.dict.learn(want.ProtoReflect(), got.ProtoReflect())
}

// contexts returns a context for the request to each server. It has the token that this server has
// issued to the user.
func (p *pair) contexts(user string) (forReal, forFake context.Context, cancel func()) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	if user == "" {
		return ctx, ctx, cancel
	}
	token, ok := p.tokens[user]
	if !ok {
		token = [2]string{user, user} // a token that no server has issued
	}
	with := func(token string) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "token", token)
	}
	return with(token[0]), with(token[1]), cancel
}

// call sends a request to both servers and compares their responses. It returns the fake's
// response.
func (p *pair) call(user, method string, req, resp proto.Message) (proto.Message, error) {
	p.t.Helper()
	forReal, forFake, cancel := p.contexts(user)
	defer cancel()
	want, got := proto.Clone(resp), proto.Clone(resp)
	wantErr := p.real.Invoke(forReal, method, p.dict.toReal(req), want)
	gotErr := p.fake.Invoke(forFake, method, req, got)
	if wantErr == nil && gotErr == nil {
		p.learn(req, want, got)
	}
	p.compare(fmt.Sprintf("%s %s as %q %v", p.about, method, user, req), want, got, wantErr, gotErr)
	return got, gotErr
}

// learn records the IDs and tokens that each of the two servers has chosen. Later requests to a
// server then have the IDs and tokens of that server.
func (p *pair) learn(req, want, got proto.Message) {
	switch w := want.(type) {
	case *pb.AuthenticateResponse:
		g := got.(*pb.AuthenticateResponse)
		p.tokens[req.(*pb.AuthenticateRequest).Name] = [2]string{w.Token, g.Token}
	case *pb.LeaseGrantResponse:
		p.dict.number(uint64(w.ID), uint64(got.(*pb.LeaseGrantResponse).ID))
	case *pb.MemberAddResponse:
		p.dict.number(w.Member.ID, got.(*pb.MemberAddResponse).Member.ID)
	}
}

func (p *pair) compare(about string, want, got proto.Message, wantErr, gotErr error) {
	p.t.Helper()
	require.Equal(p.t, status.Convert(wantErr).Message(), status.Convert(gotErr).Message(), about)
	require.Equal(p.t, status.Code(wantErr), status.Code(gotErr), about)
	if wantErr != nil {
		return
	}
	want = p.dict.toFake(want)
	normalise(want.ProtoReflect())
	normalise(got.ProtoReflect())
	require.True(p.t, proto.Equal(want, got), "%s\nreal %v\nfake %v", about, want, got)
}

// stream sends a request on a stream to each server and compares all responses until the streams
// end.
func (p *pair) stream(user, method string, req, resp proto.Message, client bool) {
	p.t.Helper()
	forReal, forFake, cancel := p.contexts(user)
	defer cancel()
	want, wantErr := receiveAll(forReal, p.real, method, p.dict.toReal(req), resp, client)
	got, gotErr := receiveAll(forFake, p.fake, method, req, resp, client)
	about := fmt.Sprintf("%s %s as %q %v", p.about, method, user, req)
	p.compare(about, &pb.AlarmResponse{}, &pb.AlarmResponse{}, wantErr, gotErr)
	require.Len(p.t, got, len(want), "%s\nreal %v\nfake %v", about, want, got)
	for i := range want {
		p.compare(fmt.Sprintf("%s: message %d", about, i), want[i], got[i], nil, nil)
	}
}

func receiveAll(
	ctx context.Context, conn *grpc.ClientConn, method string, req, resp proto.Message, client bool,
) (all []proto.Message, err error) {
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: client}
	s, err := conn.NewStream(ctx, desc, method)
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg(req); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if client {
		msg := proto.Clone(resp)
		if err := s.RecvMsg(msg); err != nil {
			return nil, err
		}
		all = append(all, msg)
	}
	_ = s.CloseSend()
	for {
		msg := proto.Clone(resp)
		err := s.RecvMsg(msg)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, msg)
	}
}
