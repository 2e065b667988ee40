package clientv3

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestTxnStepsInEveryOrder tries all sequences of up to three steps.
func TestTxnStepsInEveryOrder(t *testing.T) {
	steps := map[string]func(Txn) Txn{
		"If":   func(txn Txn) Txn { return txn.If(Compare(Version("k"), "=", 0)) },
		"Then": func(txn Txn) Txn { return txn.Then(OpPut("k", "v")) },
		"Else": func(txn Txn) Txn { return txn.Else(OpGet("k")) },
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
		txn := NewKVFromKVClient(&fakeKV{}, nil).Txn(t.Context())
		text := panicText(func() {
			for _, step := range strings.Fields(sequence) {
				txn = steps[step](txn)
			}
		})
		assert.Equal(t, want, text, sequence)
		_, err := txn.Commit() // also after a recovered panic: no lock is left held
		assert.NoError(t, err, sequence)
	}
}

func TestTxnSendsItsParts(t *testing.T) {
	remote := &fakeKV{}
	cmps := append(make([]Cmp, 0, 4), Compare(Value("k"), "=", "1"))
	ops := append(make([]Op, 0, 4), OpPut("k", "2"), OpTxn(nil, []Op{OpDelete("d")}, nil))
	txn := NewKVFromKVClient(remote, nil).Txn(t.Context()).If(cmps...).Then(ops...).Else(OpGet("k"))
	cmps[0], ops[0], ops[1] = Cmp{}, Op{}, Op{} // the caller's again
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
	requests := remote.seen()
	require.Len(t, requests, 2, "each Commit sends the transaction once")
	requireProto(t, want, requests[0])
	requireProto(t, want, requests[1])
}

func TestTxnRefusesOpsBeforeSending(t *testing.T) {
	remote := &fakeKV{}
	_, err := NewKVFromKVClient(remote, nil).Txn(t.Context()).Then(OpPut("k", "v"),
		OpWatch("w")).Commit()
	assert.EqualError(t, err, `etcdclient: watch with key "w" cannot run in a txn`)
	assert.Empty(t, remote.seen())
}

// TestTxnConcurrentUse is for the race detector; whatever the order, no step is lost.
func TestTxnConcurrentUse(t *testing.T) {
	remote := &fakeKV{}
	txn := NewKVFromKVClient(remote, nil).Txn(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, err := txn.Commit()
			assert.NoError(t, err)
		})
	}
	wg.Go(func() { txn.Then(OpPut("k", "v")) })
	wg.Wait()
	_, err := txn.Commit()
	require.NoError(t, err)
	requests := remote.seen()
	assert.Len(t, requests[4].(*pb.TxnRequest).Success, 1)
}
