package kv_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/kvstub"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestCompareAgainstAServer evaluates conditions on a key of version 2, and on keys that do not
// exist.
func TestCompareAgainstAServer(t *testing.T) {
	cluster := etcdtest.Start(t)
	client, ctx := testclient.Open(t, cluster), t.Context()
	grant, err := pb.NewLeaseClient(cluster.Pb(t)).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 600})
	require.NoError(t, err)
	created := mustPut(t, client, "dir/k", "l")
	put, err := client.Put(ctx, "dir/k", "m", clientv3.WithLease(clientv3.LeaseID(grant.ID)))
	require.NoError(t, err)
	modified := put.Header.Revision

	// Each field of the key, with a value that is less than the field, an equal value and a greater
	// value.
	fields := map[string]struct {
		begin                func(key string) clientv3.Cmp
		less, equal, greater any
	}{
		"value":   {clientv3.Value, "lz", "m", "m\x00"},
		"version": {clientv3.Version, 1, 2, 3},
		"created": {clientv3.CreateRevision, created - 1, created, created + 1},
		"mod":     {clientv3.ModRevision, modified - 1, modified, modified + 1},
		"lease":   {clientv3.LeaseValue, grant.ID - 1, clientv3.LeaseID(grant.ID), grant.ID + 1},
	}
	holds := func(cmp clientv3.Cmp) bool {
		resp, err := client.Txn(ctx).If(cmp).Commit()
		require.NoError(t, err)
		return resp.Succeeded
	}
	for name, f := range fields {
		// For each operator, whether the condition holds for the values less, equal and greater.
		for result, want := range map[string][3]bool{
			"=": {false, true, false}, "!=": {true, false, true}, ">": {true, false, false},
			"<": {false, false, true},
		} {
			for i, v := range []any{f.less, f.equal, f.greater} {
				assert.Equal(t, want[i], holds(clientv3.Compare(f.begin("dir/k"), result, v)),
					"%s %s %v", name, result, v)
				assert.Equal(t, want[i], holds(
					clientv3.Compare(f.begin("dir/").WithPrefix(), result, v)), "prefix: %s %s %v",
					name, result, v)
				assert.Equal(t, want[i], holds(
					clientv3.Compare(f.begin("").WithPrefix(), result, v)), "all keys: %s %s %v",
					name, result, v)
			}
		}
	}
	assert.False(t, holds(clientv3.Compare(clientv3.Value("x"), "=", "")))
	assert.False(t, holds(clientv3.Compare(clientv3.Value("x"), "!=", "m")))
	assert.True(t, holds(clientv3.Compare(clientv3.Version("x"), "=", 0)))
	assert.True(t, holds(clientv3.Compare(clientv3.LeaseValue("x").WithRange("z"), "=",
		clientv3.NoLease)))
}

func TestTxnAgainstAServer(t *testing.T) {
	client, ctx := testclient.Open(t, etcdtest.Start(t)), t.Context()
	mustPut(t, client, "k", "1")

	resp, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("k"), "=", "1"),
			clientv3.Compare(clientv3.Version("missing"), "=", 0)).
		Then(
			clientv3.OpGet("k"),
			clientv3.OpPut("k", "2", clientv3.WithPrevKV()),
			clientv3.OpTxn( // the inner conditions do not see the put of the outer transaction
				[]clientv3.Cmp{clientv3.Compare(clientv3.Value("k"), "=", "1")},
				[]clientv3.Op{clientv3.OpPut("inner", "then")},
				[]clientv3.Op{clientv3.OpPut("inner", "else")},
			),
			clientv3.OpDelete("missing"),
		).
		Else(clientv3.OpPut("k", "never")).
		Commit()
	require.NoError(t, err)
	require.True(t, resp.Succeeded)
	require.Len(t, resp.Responses, 4)
	assert.Equal(t, "1", string(resp.Responses[0].GetResponseRange().Kvs[0].Value))
	assert.Equal(t, "1", string(resp.Responses[1].GetResponsePut().PrevKv.Value))
	assert.True(t, resp.Responses[2].GetResponseTxn().Succeeded)
	assert.Zero(t, resp.Responses[3].GetResponseDeleteRange().Deleted)

	got, err := client.Do(ctx, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision("k"), "<", resp.Header.Revision)},
		nil,
		[]clientv3.Op{clientv3.OpGet("inner"), clientv3.OpGet("k")},
	))
	require.NoError(t, err)
	assert.False(t, got.Txn().Succeeded)
	inner, k := got.Txn().Responses[0].GetResponseRange().Kvs[0],
		got.Txn().Responses[1].GetResponseRange().Kvs[0]
	assert.Equal(t, "then 2", string(inner.Value)+" "+string(k.Value))
	assert.Equal(t, resp.Header.Revision, inner.ModRevision,
		"the writes of a transaction share one revision")
	assert.Equal(t, resp.Header.Revision, k.ModRevision)
}

func TestTxnRefusedByAServer(t *testing.T) {
	client, ctx := testclient.Open(t, etcdtest.Start(t)), t.Context()
	many := make([]clientv3.Op, 129)
	for i := range many {
		many[i] = clientv3.OpGet("k")
	}
	tests := map[string]struct {
		txn  clientv3.Txn
		want error
	}{
		"a key twice": {client.Txn(ctx).Then(clientv3.OpPut("k", "1"),
			clientv3.OpPut("k", "2")), rpctypes.ErrDuplicateKey},
		"put and delete": {client.Txn(ctx).Then(clientv3.OpPut("k", "1"),
			clientv3.OpDelete("j", clientv3.WithRange("l"))), rpctypes.ErrDuplicateKey},
		"too many ops": {client.Txn(ctx).Else(many...), rpctypes.ErrTooManyOps},
		"the zero Cmp": {client.Txn(ctx).If(clientv3.Cmp{}), rpctypes.ErrEmptyKey},
		"an empty key": {client.Txn(ctx).Then(clientv3.OpGet("")), rpctypes.ErrEmptyKey},
		"an empty txn": {client.Txn(ctx), nil},
		"a lease not there": {client.Txn(ctx).Then(
			clientv3.OpPut("k", "v", clientv3.WithLease(99))), rpctypes.ErrLeaseNotFound},
	}
	for name, tt := range tests {
		_, err := tt.txn.Commit()
		assert.Equal(t, tt.want, err, name)
	}
}

// TestTxnStepsInEveryOrder calls If, Then and Else in many orders, up to three calls for a Txn. A
// call that is repeated or comes too late panics.
func TestTxnStepsInEveryOrder(t *testing.T) {
	steps := map[string]func(clientv3.Txn) clientv3.Txn{
		"If": func(txn clientv3.Txn) clientv3.Txn {
			return txn.If(clientv3.Compare(clientv3.Version("k"), "=", 0))
		},
		"Then": func(txn clientv3.Txn) clientv3.Txn { return txn.Then(clientv3.OpPut("k", "v")) },
		"Else": func(txn clientv3.Txn) clientv3.Txn { return txn.Else(clientv3.OpGet("k")) },
	}
	wants := map[string]string{
		"":             "",
		"If":           "",
		"Then":         "",
		"Else":         "",
		"If Then":      "",
		"If Else":      "",
		"Then Else":    "",
		"If Then Else": "",
		"If If":        "etcdclient: If is called twice on one transaction",
		"Then Then":    "etcdclient: Then is called twice on one transaction",
		"Else Else":    "etcdclient: Else is called twice on one transaction",
		"Then If":      "etcdclient: If is called after Then on one transaction",
		"Else If":      "etcdclient: If is called after Else on one transaction",
		"Else Then":    "etcdclient: Then is called after Else on one transaction",
		"If Then If":   "etcdclient: If is called after Then on one transaction",
		"If Else If":   "etcdclient: If is called after Else on one transaction",
		"If Else Then": "etcdclient: Then is called after Else on one transaction",
		"If Then Then": "etcdclient: Then is called twice on one transaction",
		"If Else Else": "etcdclient: Else is called twice on one transaction",
	}
	for sequence, want := range wants {
		txn := clientv3.NewKVFromKVClient(&kvstub.Stub{}, nil).Txn(t.Context())
		text := panicText(func() {
			for _, step := range strings.Fields(sequence) {
				txn = steps[step](txn)
			}
		})
		assert.Equal(t, want, text, sequence)
		_, err := txn.Commit() // works after a recovered panic, too: no lock is held
		assert.NoError(t, err, sequence)
	}
}

func TestTxnSendsItsParts(t *testing.T) {
	remote := &kvstub.Stub{}
	cmps := append(make([]clientv3.Cmp, 0, 4), clientv3.Compare(clientv3.Value("k"), "=", "1"))
	ops := append(make([]clientv3.Op, 0, 4), clientv3.OpPut("k", "2"),
		clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpDelete("d")}, nil))
	txn := clientv3.NewKVFromKVClient(remote,
		nil).Txn(t.Context()).If(cmps...).Then(ops...).Else(clientv3.OpGet("k"))
	// If and Then have copied their arguments.
	cmps[0], ops[0], ops[1] = clientv3.Cmp{}, clientv3.Op{}, clientv3.Op{}
	for range 2 {
		_, err := txn.Commit()
		require.NoError(t, err)
	}

	want := &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("k"), Target: pb.Compare_VALUE,
			TargetUnion: &pb.Compare_Value{Value: []byte("1")}}},
		Success: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestPut{
				RequestPut: &pb.PutRequest{Key: []byte("k"), Value: []byte("2")}}},
			{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestDeleteRange{
					RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("d")}}},
			}}}},
		},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{
			RequestRange: &pb.RangeRequest{Key: []byte("k")}}}},
	}
	requests := remote.Requests()
	require.Len(t, requests, 2, "each Commit sends the transaction once")
	requireProto(t, want, requests[0])
	requireProto(t, want, requests[1])
}

func TestTxnRefusesOpsBeforeSending(t *testing.T) {
	remote := &kvstub.Stub{}
	_, err := clientv3.NewKVFromKVClient(remote,
		nil).Txn(t.Context()).Then(clientv3.OpPut("k", "v"),
		clientv3.OpWatch("w")).Commit()
	assert.EqualError(t, err, `etcdclient: watch with key "w" cannot run in a txn`)
	assert.Empty(t, remote.Requests())
}

// TestTxnConcurrentUse commits a transaction while another goroutine calls its method Then. There
// is no data race, and the operation that was given to Then is not lost.
func TestTxnConcurrentUse(t *testing.T) {
	remote := &kvstub.Stub{}
	txn := clientv3.NewKVFromKVClient(remote, nil).Txn(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, err := txn.Commit()
			assert.NoError(t, err)
		})
	}
	wg.Go(func() { txn.Then(clientv3.OpPut("k", "v")) })
	wg.Wait()
	_, err := txn.Commit()
	require.NoError(t, err)
	requests := remote.Requests()
	assert.Len(t, requests[4].(*pb.TxnRequest).Success, 1)
}
