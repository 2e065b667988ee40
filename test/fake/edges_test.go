package fake_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// The fake has etcd's two limits of the size of a request: one that etcd itself checks, and a
// larger one that gRPC checks.
func TestLimitsOfSizeAreEtcds(t *testing.T) {
	p := newPair(t)
	for _, size := range []int{1 << 20, 1572864 - 100, 1572864 - 48, 1572864, 2<<20 + 100} {
		p.about = fmt.Sprint(size)
		p.call("", pb.KV_Put_FullMethodName,
			&pb.PutRequest{Key: []byte("k"), Value: bytes.Repeat([]byte("x"), size)},
			new(pb.PutResponse))
	}
}

// The fake limits the operations of a transaction and of the transactions nested in it as etcd
// does.
func TestLimitsOfOperationsAreEtcds(t *testing.T) {
	p := newPair(t)
	for _, counts := range [][2]int{{128, 0}, {129, 0}, {100, 28}, {100, 29}, {1, 127}, {1, 128}} {
		p.about = fmt.Sprint(counts)
		req := new(pb.TxnRequest)
		for i := range counts[0] {
			req.Success = append(req.Success, putOp(fmt.Sprint("a", i)))
		}
		nested := new(pb.TxnRequest)
		for i := range counts[1] {
			nested.Failure = append(nested.Failure, putOp(fmt.Sprint("b", i)))
		}
		req.Success[0] = &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: nested}}
		p.call("", pb.KV_Txn_FullMethodName, req, new(pb.TxnResponse))
	}
}

func putOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
		RequestPut: &pb.PutRequest{Key: []byte(key)}}}
}

// The fake and etcd split a streamed range at the same keys, whether the values are small or large.
func TestChunksOfAStreamAreEtcds(t *testing.T) {
	p := newPair(t)
	for i := range 400 {
		size := 1
		if i > 300 {
			size = 30_000
		}
		p.call("", pb.KV_Put_FullMethodName, &pb.PutRequest{Key: fmt.Appendf(nil, "k%03d", i),
			Value: bytes.Repeat([]byte("x"), size)}, new(pb.PutResponse))
	}
	for _, limit := range []int64{0, 1, 10, 11, 350, 1000} {
		p.stream("", pb.KV_RangeStream_FullMethodName, &pb.RangeRequest{Key: []byte("k"),
			RangeEnd: []byte("l"), Limit: limit}, new(pb.RangeStreamResponse), false)
	}
}

// If a watcher accepts fragments, the fake and etcd split its past events at the same places.
func TestFragmentsAreEtcds(t *testing.T) {
	p := newPair(t)
	for i := range 7 {
		p.call("", pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte{byte('a' + i)},
			Value: bytes.Repeat([]byte("x"), 700_000)}, new(pb.PutResponse))
	}
	fragments := func(conn pb.WatchClient) (shape []string) {
		w, err := conn.Watch(t.Context())
		require.NoError(t, err)
		require.NoError(t, w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
			CreateRequest: &pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("z"),
				StartRevision: 2, Fragment: true}}}))
		for {
			resp, err := w.Recv()
			require.NoError(t, err)
			shape = append(shape, fmt.Sprint(len(resp.Events), resp.Fragment,
				resp.Header.Revision))
			if len(resp.Events) > 0 && !resp.Fragment {
				return shape
			}
		}
	}
	want := fragments(pb.NewWatchClient(p.real))
	require.Len(t, want, 5)
	require.Equal(t, want, fragments(pb.NewWatchClient(p.fake)))
}

// The fake raises a short TTL to the minimum as etcd does, and deletes the keys of an expired lease
// in one revision.
func TestLeasesExpireAsEtcds(t *testing.T) {
	p := newPair(t)
	grant := func(id, ttl int64) {
		p.call("", pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: id, TTL: ttl},
			new(pb.LeaseGrantResponse))
	}
	for i, ttl := range []int64{-1, 0, 1, 2, 3} {
		grant(int64(i+10), ttl)
	}
	p.watches.create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("z"), PrevKv: true,
		WatchId: 7})
	p.watches.same()
	grant(4, 5)
	for _, key := range strings.Fields("c a b") {
		p.call("", pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte(key), Lease: 4},
			new(pb.PutResponse))
	}
	// three puts and three deletions
	const events = 6
	p.watches.settleUntil(func() bool {
		return len(p.watches.real.copy().watchers[7]) == events &&
			len(p.watches.fake.copy().watchers[7]) == events
	})
	p.watches.same()
	p.call("", pb.Lease_LeaseTimeToLive_FullMethodName,
		&pb.LeaseTimeToLiveRequest{ID: 4, Keys: true}, new(pb.LeaseTimeToLiveResponse))
	p.stream("", pb.Lease_LeaseKeepAlive_FullMethodName, &pb.LeaseKeepAliveRequest{ID: 4},
		new(pb.LeaseKeepAliveResponse), true)
}

// The fake limits the size of passwords and refuses AuthEnable without a root user, as etcd does.
func TestPasswordsAreEtcds(t *testing.T) {
	p := newPair(t)
	p.call("", pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{},
		new(pb.AuthEnableResponse))
	for _, name := range []string{"root", "u"} {
		for _, size := range []int{73, 72} {
			p.call("", pb.Auth_UserAdd_FullMethodName, &pb.AuthUserAddRequest{Name: name,
				Password: strings.Repeat("p", size)}, new(pb.AuthUserAddResponse))
		}
		p.call("", pb.Auth_UserChangePassword_FullMethodName, &pb.AuthUserChangePasswordRequest{
			Name: name, Password: strings.Repeat("p", 73)},
			new(pb.AuthUserChangePasswordResponse))
		p.call("", pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{},
			new(pb.AuthEnableResponse))
	}
}
