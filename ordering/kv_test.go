package ordering

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// scriptedKV answers each request with the next of its revisions, and repeats the last one.
type scriptedKV struct {
	clientv3.KV // nil, so methods that scriptedKV does not define panic
	revisions   []int64
	calls       int
}

func (kv *scriptedKV) header() *pb.ResponseHeader {
	rev := kv.revisions[min(kv.calls, len(kv.revisions)-1)]
	kv.calls++
	if rev < 0 {
		return nil
	}
	return &pb.ResponseHeader{Revision: rev}
}

func (kv *scriptedKV) Do(_ context.Context, op clientv3.Op) (resp clientv3.OpResponse, err error) {
	switch {
	case op.IsGet():
		return (&clientv3.GetResponse{Header: kv.header()}).OpResponse(), nil
	case op.IsTxn():
		return (&clientv3.TxnResponse{Header: kv.header()}).OpResponse(), nil
	case op.IsPut():
		return (&clientv3.PutResponse{Header: kv.header()}).OpResponse(), nil
	case op.IsDelete():
		return (&clientv3.DeleteResponse{Header: kv.header()}).OpResponse(), nil
	}
	return resp, errors.New("not scripted")
}

func (kv *scriptedKV) Put(
	context.Context, string, string, ...clientv3.OpOption,
) (*clientv3.PutResponse, error) {
	return &clientv3.PutResponse{Header: kv.header()}, nil
}

func (kv *scriptedKV) Delete(
	context.Context, string, ...clientv3.OpOption,
) (*clientv3.DeleteResponse, error) {
	return &clientv3.DeleteResponse{Header: kv.header()}, nil
}

func (kv *scriptedKV) Txn(context.Context) clientv3.Txn { return scriptedTxn{kv} }

type scriptedTxn struct{ kv *scriptedKV }

func (t scriptedTxn) If(...clientv3.Cmp) clientv3.Txn  { return t }
func (t scriptedTxn) Then(...clientv3.Op) clientv3.Txn { return t }
func (t scriptedTxn) Else(...clientv3.Op) clientv3.Txn { return t }
func (t scriptedTxn) Commit() (*clientv3.TxnResponse, error) {
	return &clientv3.TxnResponse{Header: t.kv.header()}, nil
}

// requests are all ways to send a request; each returns the revision of its response.
var requests = map[string]func(context.Context, clientv3.KV) (int64, error){
	"get": func(ctx context.Context, kv clientv3.KV) (int64, error) {
		resp, err := kv.Get(ctx, "k")
		return (*pb.RangeResponse)(resp).GetHeader().GetRevision(), err
	},
	"do get": doing(clientv3.OpGet("k")),
	"txn": func(ctx context.Context, kv clientv3.KV) (int64, error) {
		resp, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Version("k"), ">", 0)).Then(
			clientv3.OpGet("k")).Else(clientv3.OpGet("l")).Commit()
		return (*pb.TxnResponse)(resp).GetHeader().GetRevision(), err
	},
	"do txn": doing(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("k"),
		clientv3.OpTxn(nil, nil, []clientv3.Op{clientv3.OpGet("l")})}, nil)),
	"put": func(ctx context.Context, kv clientv3.KV) (int64, error) {
		resp, err := kv.Put(ctx, "k", "v")
		return (*pb.PutResponse)(resp).GetHeader().GetRevision(), err
	},
	"do put": doing(clientv3.OpPut("k", "v")),
	"delete": func(ctx context.Context, kv clientv3.KV) (int64, error) {
		resp, err := kv.Delete(ctx, "k")
		return (*pb.DeleteRangeResponse)(resp).GetHeader().GetRevision(), err
	},
	"do delete": doing(clientv3.OpDelete("k")),
}

func doing(op clientv3.Op) func(context.Context, clientv3.KV) (int64, error) {
	return func(ctx context.Context, kv clientv3.KV) (int64, error) {
		resp, err := kv.Do(ctx, op)
		return header(resp).GetRevision(), err
	}
}

// TestReadsRepeatUntilTheyAreNewEnough: a read is sent again if the revision of its response is
// less than that of an earlier response, or if its response has no header.
func TestReadsRepeatUntilTheyAreNewEnough(t *testing.T) {
	for raise, first := range requests {
		for _, read := range []string{"get", "do get", "txn", "do txn"} {
			t.Run(raise+" then "+read, func(t *testing.T) {
				inner := &scriptedKV{revisions: []int64{5, -1, 3, 4, 5, 7, 6, 7}}
				var violations []int64
				kv := NewKV(inner, func(op clientv3.Op, resp clientv3.OpResponse,
					prevRev int64) error {
					require.EqualValues(t, 5+2*(len(violations)/3), prevRev)
					require.Equal(t, op.IsGet(), resp.Get() != nil)
					require.Equal(t, op.IsTxn(), resp.Txn() != nil)
					violations = append(violations, header(resp).GetRevision())
					return nil
				})
				ctx := t.Context()
				rev, err := first(ctx, kv)
				require.NoError(t, err)
				require.EqualValues(t, 5, rev)
				for _, want := range []int64{5, 7, 7} {
					rev, err = requests[read](ctx, kv)
					require.NoError(t, err)
					require.Equal(t, want, rev)
				}
				require.Equal(t, []int64{0, 3, 4, 6}, violations)
			})
		}
	}
}

func TestTheFunctionsErrorEndsTheRequest(t *testing.T) {
	for _, read := range []string{"get", "do get", "txn", "do txn"} {
		inner := &scriptedKV{revisions: []int64{5, 3}}
		refuse := errors.New("refused")
		kv := NewKV(inner, func(clientv3.Op, clientv3.OpResponse, int64) error { return refuse })
		_, err := requests["put"](t.Context(), kv)
		require.NoError(t, err)
		_, err = requests[read](t.Context(), kv)
		require.Equal(t, refuse, err)
		require.Equal(t, 2, inner.calls)
	}
}

// TestWritesAreNotRepeated: a transaction that can write, in any branch and at any depth, is sent
// only once, even if its response has an older revision than an earlier response. The server may
// have applied it.
func TestWritesAreNotRepeated(t *testing.T) {
	put := clientv3.OpPut("k", "v")
	ops := map[string]clientv3.Op{
		"then": clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("k"), put}, nil),
		"else": clientv3.OpTxn(nil, nil, []clientv3.Op{clientv3.OpDelete("k")}),
		"nested": clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpTxn(nil, nil, []clientv3.Op{put})},
			nil),
	}
	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			inner := &scriptedKV{revisions: []int64{5, 3}}
			violations := 0
			kv := NewKV(inner, func(clientv3.Op, clientv3.OpResponse, int64) error {
				violations++
				return nil
			})
			_, err := kv.Get(t.Context(), "k")
			require.NoError(t, err)
			_, err = kv.Do(t.Context(), op)
			require.ErrorIs(t, err, ErrNoGreaterRev)
			cmps, thenOps, elseOps := op.Txn()
			_, err = kv.Txn(t.Context()).If(cmps...).Then(thenOps...).Else(elseOps...).Commit()
			require.ErrorIs(t, err, ErrNoGreaterRev)
			require.Equal(t, 3, inner.calls)
			require.Equal(t, 2, violations)

			_, err = kv.Put(t.Context(), "k", "v")
			require.NoError(t, err, "a put reads nothing that could be old")
		})
	}
}

// TestWaitsAfterViolationsGrow: as long as the responses are too old, a read is sent again. The
// wait before the next attempt grows to at most a second.
func TestWaitsAfterViolationsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &scriptedKV{revisions: []int64{5, 3}}
		kv := NewKV(inner, func(clientv3.Op, clientv3.OpResponse, int64) error { return nil })
		_, err := kv.Get(t.Context(), "k")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		_, err = kv.Get(ctx, "k")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 20*time.Second, time.Since(start))
		require.Less(t, inner.calls, 60)
		require.Greater(t, inner.calls, 20)
	})
}

// TestConcurrentReadsMayReturnInAnyOrder: two reads run at the same time. The second one to return
// may have an older revision than the first.
func TestConcurrentReadsMayReturnInAnyOrder(t *testing.T) {
	inner := &scriptedKV{revisions: []int64{3}}
	kv := NewKV(inner, func(clientv3.Op, clientv3.OpResponse, int64) error {
		return errors.New("called")
	}).(*orderedKV)
	_, err := kv.inOrder(t.Context(), clientv3.OpGet("k"), func() (clientv3.OpResponse, error) {
		kv.saw(&pb.ResponseHeader{Revision: 9})
		return inner.Do(t.Context(), clientv3.OpGet("k"))
	})
	require.NoError(t, err)
	require.EqualValues(t, 9, kv.seen.Load())
}
