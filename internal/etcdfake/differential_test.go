package etcdfake

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// TestSameAnswersAsEtcd sends the same random requests to the fake and to a real server and
// compares the answers.
func TestSameAnswersAsEtcd(t *testing.T) {
	realConn := etcdtest.Start(t).Members()[0].Conn(t)
	fakeConn := dial(t, Start(t))
	const requests = 1500
	g := &requestGen{rnd: rand.New(rand.NewPCG(1, 1)), rev: 1}
	for i := range requests {
		method, req, resp := g.next()
		want, wantErr := invoke(t, realConn, method, req, resp)
		got, gotErr := invoke(t, fakeConn, method, req, resp)
		about := fmt.Sprintf("request %d: %s %v", i, method, req)
		require.Equal(t, status.Convert(wantErr).Message(), status.Convert(gotErr).Message(), about)
		require.Equal(t, status.Code(wantErr), status.Code(gotErr), about)
		if wantErr == nil {
			require.True(t, proto.Equal(want, got), "%s\nreal %v\nfake %v", about, want, got)
			g.saw(want)
		}
	}
	assert.Greater(t, g.rev, int64(requests/4), "the requests must not all have failed")
	for _, req := range []*pb.WatchCreateRequest{
		{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: g.compacted, PrevKv: true},
		{Key: []byte("a"), StartRevision: g.compacted,
			Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}},
		{Key: []byte("b"), RangeEnd: []byte("e"), StartRevision: g.rev - 50},
		{Key: []byte("b"), StartRevision: g.compacted - 1},
		{Key: []byte("b"), RangeEnd: []byte("a")},
		{Key: []byte("b"), StartRevision: -1},
	} {
		want, got := history(t, realConn, req), history(t, fakeConn, req)
		for i := range want {
			require.True(t, proto.Equal(want[i], got[i]), "%v, response %d\nreal %v\nfake %v", req,
				i, want[i], got[i])
		}
	}
}

// invoke calls a method and strips from the answer what no two servers share.
func invoke(
	t *testing.T, conn *grpc.ClientConn, method string, req, resp proto.Message,
) (proto.Message, error) {
	resp = resp.ProtoReflect().New().Interface()
	err := conn.Invoke(testContext(t), method, req, resp)
	strip(resp.ProtoReflect())
	return resp, err
}

// strip leaves nothing but the revision in headers, and no remaining time in answers about leases.
func strip(m protoreflect.Message) {
	switch msg := m.Interface().(type) {
	case *pb.ResponseHeader:
		msg.ClusterId, msg.MemberId, msg.RaftTerm = 0, 0, 0
	case *pb.LeaseTimeToLiveResponse:
		if msg.TTL > 0 {
			msg.TTL = 1
		}
		slices.SortFunc(msg.Keys, slices.Compare)
	case *pb.LeaseLeasesResponse:
		slices.SortFunc(msg.Leases, func(a, b *pb.LeaseStatus) int { return int(a.ID - b.ID) })
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				strip(v.List().Get(i).Message())
			}
		default:
			strip(v.Message())
		}
		return true
	})
}

// history is what a new watcher is told of the past: the created response, then all events merged,
// or the cancellation. Progress is asked for until it is told, which a server does when it has sent
// everything.
func history(t *testing.T, conn *grpc.ClientConn, req *pb.WatchCreateRequest) []*pb.WatchResponse {
	ctx, cancel := context.WithCancel(testContext(t))
	w, err := pb.NewWatchClient(conn).Watch(ctx)
	require.NoError(t, err)
	created := create(t, w, proto.Clone(req).(*pb.WatchCreateRequest))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	asking.Go(func() { askProgress(ctx, w) })
	last := new(pb.WatchResponse)
	for !created.Canceled {
		resp := recvWatch(t, w)
		if resp.Canceled {
			last = resp
			break
		}
		if resp.WatchId == noWatchID {
			break
		}
		last.Events = append(last.Events, resp.Events...)
	}
	strip(created.ProtoReflect())
	strip(last.ProtoReflect())
	return []*pb.WatchResponse{created, last}
}

func askProgress(ctx context.Context, w pb.Watch_WatchClient) {
	progress := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
		ProgressRequest: &pb.WatchProgressRequest{}}}
	for w.Send(progress) == nil {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// requestGen makes random requests on few keys and leases, so that they meet.
type requestGen struct {
	rnd            *rand.Rand
	rev, compacted int64
}

func (g *requestGen) saw(resp proto.Message) {
	if r, ok := resp.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		g.rev = max(g.rev, r.GetHeader().GetRevision())
	}
}

func (g *requestGen) chance(percent int) bool { return g.rnd.IntN(100) < percent }

func (g *requestGen) key() []byte { return []byte{byte('a' + g.rnd.IntN(5))} }

func (g *requestGen) end() []byte {
	switch g.rnd.IntN(6) {
	case 0:
		return []byte{0}
	case 1, 2:
		return g.key()
	}
	return nil
}

func (g *requestGen) leaseID() int64 { return int64(1 + g.rnd.IntN(4)) }

func (g *requestGen) next() (method string, req, resp proto.Message) {
	switch n := g.rnd.IntN(100); {
	case n < 30:
		return pb.KV_Put_FullMethodName, g.put(), new(pb.PutResponse)
	case n < 50:
		return pb.KV_Range_FullMethodName, g.get(), new(pb.RangeResponse)
	case n < 60:
		return pb.KV_DeleteRange_FullMethodName, g.del(), new(pb.DeleteRangeResponse)
	case n < 80:
		return pb.KV_Txn_FullMethodName, g.txn(2), new(pb.TxnResponse)
	case n < 81:
		return pb.KV_Compact_FullMethodName, g.compact(), new(pb.CompactionResponse)
	case n < 86:
		return pb.Lease_LeaseGrant_FullMethodName,
			&pb.LeaseGrantRequest{ID: g.leaseID(), TTL: 3600}, new(pb.LeaseGrantResponse)
	case n < 88:
		return pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: g.leaseID()},
			new(pb.LeaseRevokeResponse)
	case n < 93:
		return pb.Lease_LeaseTimeToLive_FullMethodName,
			&pb.LeaseTimeToLiveRequest{ID: g.leaseID(), Keys: true}, new(pb.LeaseTimeToLiveResponse)
	default:
		return pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{},
			new(pb.LeaseLeasesResponse)
	}
}

func (g *requestGen) compact() *pb.CompactionRequest {
	req := &pb.CompactionRequest{Revision: g.rev - int64(g.rnd.IntN(60)) + 5}
	if req.Revision > g.compacted && req.Revision <= g.rev {
		g.compacted = req.Revision
	}
	return req
}

func (g *requestGen) put() *pb.PutRequest {
	req := &pb.PutRequest{Key: g.key(), PrevKv: g.chance(50)}
	if req.IgnoreValue = g.chance(5); !req.IgnoreValue {
		req.Value = []byte(fmt.Sprint(g.rnd.IntN(10)))
	}
	if req.IgnoreLease = g.chance(5); !req.IgnoreLease && g.chance(30) {
		req.Lease = g.leaseID()
	}
	if g.chance(2) {
		req.Key = nil
	}
	return req
}

func (g *requestGen) get() *pb.RangeRequest {
	req := &pb.RangeRequest{Key: g.key(), RangeEnd: g.end(), KeysOnly: g.chance(10),
		CountOnly: g.chance(10)}
	if g.chance(30) {
		req.Limit = int64(1 + g.rnd.IntN(3))
	}
	if g.chance(30) {
		req.Revision = max(g.rev-int64(g.rnd.IntN(40))+2, 0)
	}
	if g.chance(50) { // never without an order: etcd then sorts what the limit has left
		req.SortTarget = pb.RangeRequest_SortTarget(g.rnd.IntN(5))
		req.SortOrder = pb.RangeRequest_SortOrder(1 + g.rnd.IntN(2))
	}
	if g.chance(10) {
		req.MinModRevision, req.MaxCreateRevision = g.rev-20, g.rev-5
	}
	return req
}

func (g *requestGen) del() *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.chance(50)}
}

// delInTxn deletes no empty intervals and none without end: etcd overlooks puts that overlap with
// those.
func (g *requestGen) delInTxn() *pb.DeleteRangeRequest {
	req := g.del()
	if bytes.Compare(req.RangeEnd, req.Key) <= 0 {
		req.RangeEnd = nil
	}
	return req
}

func (g *requestGen) txn(depth int) *pb.TxnRequest {
	req := new(pb.TxnRequest)
	for range g.rnd.IntN(3) {
		req.Compare = append(req.Compare, g.compare())
	}
	for range g.rnd.IntN(4) {
		req.Success = append(req.Success, g.op(depth))
	}
	for range g.rnd.IntN(3) {
		req.Failure = append(req.Failure, g.op(depth))
	}
	return req
}

func (g *requestGen) compare() *pb.Compare {
	c := &pb.Compare{Key: g.key(), Result: pb.Compare_CompareResult(g.rnd.IntN(4)),
		Target: pb.Compare_CompareTarget(g.rnd.IntN(5))}
	if g.chance(20) {
		c.RangeEnd = g.end()
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: int64(g.rnd.IntN(3))}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.rev - int64(g.rnd.IntN(20))}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.rev - int64(g.rnd.IntN(10))}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: []byte(fmt.Sprint(g.rnd.IntN(10)))}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: int64(g.rnd.IntN(3))}
	}
	return c
}

func (g *requestGen) op(depth int) *pb.RequestOp {
	switch n := g.rnd.IntN(10); {
	case n < 4:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.put()}}
	case n < 7:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.get()}}
	case n < 9 || depth == 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: g.delInTxn()}}
	default:
		return txnOp(g.txn(depth - 1))
	}
}
