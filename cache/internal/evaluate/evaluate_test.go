package evaluate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache/internal/evaluate"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a server with random keys, many of which have equal versions, leases and values. It also
// has the state of the server at each revision.
type store struct {
	t      *testing.T
	remote pb.KVClient
	client *clientv3.Client
	first  int64
	states map[int64]map[string]*mvccpb.KeyValue
	last   int64
}

func newStore(t *testing.T, rnd *rand.Rand) *store {
	t.Helper()
	client := etcdfake.New(t).Client()
	s := &store{t: t, client: client, remote: pb.NewKVClient(client.ActiveConnection()),
		states: map[int64]map[string]*mvccpb.KeyValue{}}
	lease, err := client.Grant(t.Context(), 3600)
	require.NoError(t, err)
	for range 400 {
		key := fmt.Sprintf("k%02d", rnd.IntN(60))
		var opts []clientv3.OpOption
		if rnd.IntN(3) == 0 {
			opts = append(opts, clientv3.WithLease(lease.ID))
		}
		if rnd.IntN(4) == 0 {
			_, err = client.Delete(t.Context(), key)
		} else {
			_, err = client.Put(t.Context(), key, fmt.Sprint(rnd.IntN(8)), opts...)
		}
		require.NoError(t, err)
		s.note()
	}
	return s
}

// note reads all keys of the server and records them as the state at the newest revision.
func (s *store) note() {
	resp, err := s.client.Get(s.t.Context(), "\x00", clientv3.WithFromKey())
	require.NoError(s.t, err)
	s.last = resp.Header.Revision
	if s.first == 0 {
		s.first = s.last
	}
	state := map[string]*mvccpb.KeyValue{}
	for _, kv := range resp.Kvs {
		state[string(kv.Key)] = kv
	}
	s.states[s.last] = state
}

// keysAt returns the keys at revision rev in the form that evaluate works on: the tree of the
// newest revision, and the keys that were different or missing at rev.
func (s *store) keysAt(rev int64) evaluate.Keys {
	k := evaluate.Keys{Past: map[string]*mvccpb.KeyValue{}}
	for key, kv := range s.states[s.last] {
		k.Tree = k.Tree.Set(kv)
		if s.states[rev][key] == nil {
			k.Past[key] = nil
		}
	}
	for key, kv := range s.states[rev] {
		if now := k.Tree.Get(key); now == nil || now.ModRevision != kv.ModRevision {
			k.Past[key] = kv
		}
	}
	return k
}

func (s *store) randomRevision(rnd *rand.Rand) int64 {
	for {
		if rev := s.first + rnd.Int64N(s.last-s.first+1); s.states[rev] != nil {
			return rev
		}
	}
}

// randomRange returns a request with any mix of options.
func (s *store) randomRange(rnd *rand.Rand) *pb.RangeRequest {
	req := &pb.RangeRequest{Key: fmt.Appendf(nil, "k%02d", rnd.IntN(60))}
	switch rnd.IntN(5) {
	case 0:
	case 1:
		req.RangeEnd = []byte{0}
	default:
		req.RangeEnd = fmt.Appendf(nil, "k%02d", rnd.IntN(62))
		if rnd.IntN(2) == 0 {
			req.Key = []byte("k")
		}
	}
	if rnd.IntN(2) == 0 {
		req.Limit = rnd.Int64N(70) - 2
	}
	if rnd.IntN(2) == 0 {
		req.SortOrder = pb.RangeRequest_SortOrder(rnd.IntN(3))
		req.SortTarget = pb.RangeRequest_SortTarget(rnd.IntN(5))
	}
	req.KeysOnly, req.CountOnly = rnd.IntN(4) == 0, rnd.IntN(8) == 0
	for _, bound := range []*int64{&req.MinModRevision, &req.MaxModRevision,
		&req.MinCreateRevision, &req.MaxCreateRevision} {
		if rnd.IntN(6) == 0 {
			*bound = s.randomRevision(rnd)
		}
	}
	return req
}

func TestRangesAreAnsweredAsByAServer(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	s := newStore(t, rnd)
	for n := range 4000 {
		req := s.randomRange(rnd)
		at := s.last
		if rnd.IntN(3) == 0 {
			at = s.randomRevision(rnd)
			req.Revision = at
		}
		want, err := s.remote.Range(t.Context(), req)
		require.NoError(t, err)
		want.Header = nil
		got := evaluate.Range(s.keysAt(at), req)
		require.True(t, proto.Equal(want, got), "request %d, %v:\nwant %v\ngot %v", n, req, want,
			got)
	}
}

// randomCompare returns a comparison of any kind.
func (s *store) randomCompare(rnd *rand.Rand) *pb.Compare {
	req := s.randomRange(rnd)
	c := &pb.Compare{Key: req.Key, RangeEnd: req.RangeEnd,
		Result: pb.Compare_CompareResult(rnd.IntN(4)),
		Target: pb.Compare_CompareTarget(rnd.IntN(5))}
	if rnd.IntN(2) == 0 {
		c.RangeEnd = nil
	}
	some := evaluate.Range(s.keysAt(s.last), &pb.RangeRequest{Key: []byte("k"),
		RangeEnd: []byte{0}}).Kvs
	kv := some[rnd.IntN(len(some))]
	if rnd.IntN(4) == 0 {
		kv = &mvccpb.KeyValue{}
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: kv.Version}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: kv.CreateRevision}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: kv.ModRevision}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: kv.Value}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: kv.Lease}
	}
	return c
}

func TestComparisonsAreDecidedAsByAServer(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	s := newStore(t, rnd)
	outcomes := map[bool]int{}
	for n := range 2000 {
		c := s.randomCompare(rnd)
		want, err := s.remote.Txn(t.Context(), &pb.TxnRequest{Compare: []*pb.Compare{c}})
		require.NoError(t, err)
		require.Equal(t, want.Succeeded, evaluate.Holds(s.keysAt(s.last), []*pb.Compare{c}),
			"comparison %d, %v", n, c)
		outcomes[want.Succeeded]++
	}
	require.Greater(t, outcomes[true], 200)
	require.Greater(t, outcomes[false], 200)
}

func TestAnswersAreCopiesOfThePairs(t *testing.T) {
	var k evaluate.Keys
	key := func(n int) string { return fmt.Sprintf("k%03d", n) }
	for n := range 600 {
		k.Tree = k.Tree.Set(&mvccpb.KeyValue{Key: []byte(key(n)), ModRevision: 7})
	}
	resp := evaluate.Range(k, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
	require.Len(t, resp.Kvs, 600)
	for _, kv := range resp.Kvs {
		kv.Key, kv.ModRevision = kv.Key[1:], 0
	}
	for n, kv := range k.Tree.Slice(0, 600) {
		require.Equal(t, key(n), string(kv.Key))
		require.Equal(t, int64(7), kv.ModRevision)
	}
}
