package etcdfake

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

func putOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
		RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte("v")}}}
}

func delOp(key, end string) *pb.RequestOp {
	req := &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: req}}
}

func txnOp(req *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: req}}
}

func rangeOp(key, end string) *pb.RequestOp {
	req := &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: req}}
}

func keysOf(kvs []*keyValue) string {
	var keys string
	for _, kv := range kvs {
		keys += string(kv.Key)
	}
	return keys
}

func TestRange(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	for _, key := range []string{"c", "a", "b", "a"} { // revisions 2 to 5
		put(t, kv, key, "v"+key)
	}
	all := func(change func(*pb.RangeRequest)) *pb.RangeResponse {
		req := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
		change(req)
		resp, err := kv.Range(testContext(t), req)
		require.NoError(t, err)
		return resp
	}
	assert.Equal(t, "abc", keysOf(all(func(*pb.RangeRequest) {}).Kvs))
	assert.Equal(t, "cba", keysOf(all(func(r *pb.RangeRequest) {
		r.SortOrder = pb.RangeRequest_DESCEND
	}).Kvs))
	assert.Equal(t, "cba", keysOf(all(func(r *pb.RangeRequest) {
		r.SortTarget = pb.RangeRequest_MOD
	}).Kvs))
	assert.Equal(t, "ac", keysOf(all(func(r *pb.RangeRequest) { r.Revision = 3 }).Kvs))
	assert.Equal(t, "a", keysOf(all(func(r *pb.RangeRequest) { r.MinModRevision = 5 }).Kvs))
	assert.Equal(t, "b", keysOf(all(func(r *pb.RangeRequest) {
		r.Key, r.RangeEnd = []byte("b"), []byte("c")
	}).Kvs))
	limited := all(func(r *pb.RangeRequest) { r.Limit = 2 })
	assert.Equal(t, "ab", keysOf(limited.Kvs))
	assert.True(t, limited.More)
	assert.Equal(t, int64(3), limited.Count)
	assert.Equal(t, int64(5), limited.Header.Revision)
	assert.Equal(t, s.memberID, limited.Header.MemberId)
	assert.Empty(t, all(func(r *pb.RangeRequest) { r.CountOnly = true }).Kvs)
	keysOnly := all(func(r *pb.RangeRequest) { r.KeysOnly = true })
	assert.Empty(t, keysOnly.Kvs[0].Value)
	one := all(func(r *pb.RangeRequest) { r.Key, r.RangeEnd = []byte("a"), nil }).Kvs[0]
	assert.Equal(t, []int64{3, 5, 2}, []int64{one.CreateRevision, one.ModRevision, one.Version})
	assert.Equal(t, "va", string(one.Value))
}

func TestRevisionsAndCompaction(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	put(t, kv, "a", "1")
	put(t, kv, "b", "1")
	_, err := kv.DeleteRange(testContext(t), &pb.DeleteRangeRequest{Key: []byte("b")})
	require.NoError(t, err)
	put(t, kv, "a", "2") // revision 5
	at := func(rev int64) (string, error) {
		resp, err := kv.Range(testContext(t),
			&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: rev})
		return keysOf(resp.GetKvs()), err
	}
	_, err = at(6)
	assert.Equal(t, rpctypes.ErrFutureRev, rpctypes.Error(err))
	_, err = kv.Compact(testContext(t), &pb.CompactionRequest{Revision: 4})
	require.NoError(t, err)
	_, err = at(3)
	assert.Equal(t, rpctypes.ErrCompacted, rpctypes.Error(err))
	for _, rev := range []int64{0, 4, 5} {
		keys, err := at(rev)
		require.NoError(t, err)
		assert.Equal(t, "a", keys, "revision %d", rev)
	}
	_, err = kv.Compact(testContext(t), &pb.CompactionRequest{Revision: 4})
	assert.Equal(t, rpctypes.ErrCompacted, rpctypes.Error(err))
	_, err = kv.Compact(testContext(t), &pb.CompactionRequest{Revision: 9})
	assert.Equal(t, rpctypes.ErrFutureRev, rpctypes.Error(err))
	_, err = kv.DeleteRange(testContext(t), &pb.DeleteRangeRequest{Key: []byte("missing")})
	require.NoError(t, err)
	assert.Equal(t, int64(5), s.Revision(), "a delete of nothing has no revision")
}

func TestPutOptionsAndErrors(t *testing.T) {
	kv := pb.NewKVClient(dial(t, Start(t)))
	put(t, kv, "a", "1")
	resp, err := kv.Put(testContext(t), &pb.PutRequest{Key: []byte("a"), IgnoreValue: true,
		PrevKv: true})
	require.NoError(t, err)
	assert.Equal(t, "1", string(resp.PrevKv.Value))
	got, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("a")})
	require.NoError(t, err)
	assert.Equal(t, "1", string(got.Kvs[0].Value))
	for want, req := range map[error]*pb.PutRequest{
		rpctypes.ErrEmptyKey:      {},
		rpctypes.ErrLeaseNotFound: {Key: []byte("a"), Lease: 99},
		rpctypes.ErrKeyNotFound:   {Key: []byte("b"), IgnoreValue: true},
		rpctypes.ErrValueProvided: {Key: []byte("a"), Value: []byte("x"), IgnoreValue: true},
		rpctypes.ErrLeaseProvided: {Key: []byte("a"), Lease: 1, IgnoreLease: true},
	} {
		_, err := kv.Put(testContext(t), req)
		assert.Equal(t, want, rpctypes.Error(err))
	}
	_, err = kv.Range(testContext(t), &pb.RangeRequest{})
	assert.Equal(t, rpctypes.ErrEmptyKey, rpctypes.Error(err))
	_, err = kv.DeleteRange(testContext(t), &pb.DeleteRangeRequest{})
	assert.Equal(t, rpctypes.ErrEmptyKey, rpctypes.Error(err))
}

func TestTxn(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	put(t, kv, "a", "1")
	resp, err := kv.Txn(testContext(t), &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("a"), Target: pb.Compare_VERSION,
			TargetUnion: &pb.Compare_Version{Version: 1}}},
		Success: []*pb.RequestOp{putOp("x"), putOp("y"), rangeOp("x", "z"), txnOp(&pb.TxnRequest{
			Compare: []*pb.Compare{{Key: []byte("x"), Target: pb.Compare_CREATE,
				TargetUnion: &pb.Compare_CreateRevision{}}},
			Success: []*pb.RequestOp{delOp("a", "")},
		})},
	})
	require.NoError(t, err)
	require.True(t, resp.Succeeded)
	require.Len(t, resp.Responses, 4)
	assert.Equal(t, "xy", keysOf(resp.Responses[2].GetResponseRange().Kvs),
		"a range sees the writes before it")
	nested := resp.Responses[3].GetResponseTxn()
	require.True(t, nested.Succeeded, "comparisons are decided before anything is written")
	assert.Equal(t, int64(1), nested.Responses[0].GetResponseDeleteRange().Deleted)
	assert.Equal(t, int64(3), s.Revision(), "one transaction, one revision")
}

func TestTxnCompares(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	put(t, kv, "a", "m")
	for _, tc := range []struct {
		compare *pb.Compare
		holds   bool
	}{
		{&pb.Compare{Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte("m")}},
			true},
		{&pb.Compare{Target: pb.Compare_VALUE, Result: pb.Compare_LESS,
			TargetUnion: &pb.Compare_Value{Value: []byte("z")}}, true},
		{&pb.Compare{Target: pb.Compare_MOD, Result: pb.Compare_GREATER,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: 2}}, false},
		{&pb.Compare{Target: pb.Compare_LEASE, Result: pb.Compare_NOT_EQUAL,
			TargetUnion: &pb.Compare_Lease{Lease: 1}}, true},
		{&pb.Compare{Key: []byte("no"), Target: pb.Compare_VERSION,
			TargetUnion: &pb.Compare_Version{}}, true},
		{&pb.Compare{Key: []byte("no"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{}},
			false},
		{&pb.Compare{Key: []byte("no"), RangeEnd: []byte{0}, Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{}}, false},
		{&pb.Compare{Key: []byte("no"), RangeEnd: []byte{0}, Target: pb.Compare_MOD,
			TargetUnion: &pb.Compare_ModRevision{}}, true},
	} {
		if tc.compare.Key == nil {
			tc.compare.Key = []byte("a")
		}
		resp, err := kv.Txn(testContext(t), &pb.TxnRequest{Compare: []*pb.Compare{tc.compare}})
		require.NoError(t, err)
		assert.Equal(t, tc.holds, resp.Succeeded, "%v", tc.compare)
	}
}

func TestTxnRefusedWithoutEffect(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	for _, tc := range []struct {
		ops  []*pb.RequestOp
		want error
	}{
		{[]*pb.RequestOp{putOp("a"), putOp("a")}, rpctypes.ErrDuplicateKey},
		{[]*pb.RequestOp{putOp("b"), delOp("a", "c")}, rpctypes.ErrDuplicateKey},
		{[]*pb.RequestOp{putOp("b"), txnOp(&pb.TxnRequest{Failure: []*pb.RequestOp{putOp("b")}})},
			rpctypes.ErrDuplicateKey},
		{[]*pb.RequestOp{putOp("a"), putOp("")}, rpctypes.ErrEmptyKey},
		{[]*pb.RequestOp{putOp("a"), rangeOp("", "")}, rpctypes.ErrEmptyKey},
		{[]*pb.RequestOp{delOp("a", "c"), delOp("b", ""), txnOp(&pb.TxnRequest{
			Success: []*pb.RequestOp{putOp("x")}, Failure: []*pb.RequestOp{putOp("x")},
		})}, nil},
	} {
		before := s.Revision()
		_, err := kv.Txn(testContext(t), &pb.TxnRequest{Success: tc.ops})
		assert.Equal(t, tc.want, rpctypes.Error(err))
		if tc.want != nil {
			assert.Equal(t, before, s.Revision())
		}
	}
}

func TestRangeStreamEqualsRange(t *testing.T) {
	kv := pb.NewKVClient(dial(t, Start(t, WithRangeChunk(2))))
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		put(t, kv, key, key)
	}
	req := &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte{0}, Limit: 4}
	want, err := kv.Range(testContext(t), req)
	require.NoError(t, err)
	rs, err := kv.RangeStream(testContext(t), req)
	require.NoError(t, err)
	got, chunks := new(pb.RangeResponse), 0
	for {
		part, err := rs.Recv()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		proto.Merge(got, part.RangeResponse)
		chunks++
	}
	assert.True(t, proto.Equal(want, got), "%v\n%v", want, got)
	assert.Equal(t, 2, chunks)
	rs, err = kv.RangeStream(testContext(t), &pb.RangeRequest{Key: []byte("a"), Revision: 99})
	require.NoError(t, err)
	_, err = rs.Recv()
	assert.Equal(t, rpctypes.ErrFutureRev, rpctypes.Error(err))
}
