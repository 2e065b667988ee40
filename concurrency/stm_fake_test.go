package concurrency

import (
	"context"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// explode panics. A test looks for the name explode in the stack trace.
func explode(STM) error { panic("the function's own") }

func TestPanicInATransactionReachesTheCaller(t *testing.T) {
	_, client := newFake(t)
	func() {
		defer func() {
			assert.Equal(t, "the function's own", recover())
			assert.Contains(t, string(debug.Stack()), "concurrency.explode",
				"the trace begins where the panic did")
		}()
		_, _ = NewSTM(client, explode)
	}()

	t.Run("also after a failed read", func(t *testing.T) {
		assert.PanicsWithValue(t, "the function's own", func() {
			_, _ = NewSTM(client, func(s STM) error {
				recovered(func() { s.Get("") })
				return explode(s)
			})
		})
	})
	t.Run("through a transaction inside another", func(t *testing.T) {
		_, err := NewSTM(client, func(outer STM) error {
			_, err := NewSTM(client, func(STM) error { outer.Get(""); return nil })
			assert.Fail(t, "the outer read failed", "the inner returned %v", err)
			return err
		})
		assert.ErrorIs(t, err, rpctypes.ErrEmptyKey)
	})
}

// TestConflictingTransactionsBackOff has another put conflict with each attempt of a transaction.
// The transaction pauses between its attempts, so it makes only a few in a second.
func TestConflictingTransactionsBackOff(t *testing.T) {
	s, client := newFake(t)
	var commits atomic.Int32
	s.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if len(req.(*pb.TxnRequest).Compare) > 0 {
			commits.Add(1)
			put := &pb.PutRequest{Key: []byte("contended"), Value: []byte("again")}
			if _, err := s.Apply(ctx, "Put", put); err != nil {
				return nil, err
			}
		}
		return s.Apply(ctx, "Txn", req)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := NewSTM(client, func(s STM) error {
		s.Put("contended", s.Get("contended")+".")
		return nil
	}, WithAbortContext(ctx))
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Greater(t, commits.Load(), int32(2))
	assert.Less(t, commits.Load(), int32(60), "conflicting attempts in one second")
}

// TestTransactionOnALaggingMember has the member refuse a serializable read, because the member
// lags behind the revision of the first read. The transaction succeeds, and its function runs once.
func TestTransactionOnALaggingMember(t *testing.T) {
	s, client := newFake(t)
	put(t, client, "a", "va")
	put(t, client, "b", "vb")
	refused := 0
	s.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		ops := req.(*pb.TxnRequest).Success
		if len(ops) > 0 && ops[0].GetRequestRange().GetSerializable() {
			refused++
			return nil, rpctypes.ErrGRPCFutureRev
		}
		return s.Apply(ctx, "Txn", req)
	})
	runs := 0
	_, err := NewSTM(client, func(s STM) error {
		runs++
		assert.Equal(t, "va", s.Get("a"))
		assert.Equal(t, "vb", s.Get("b"))
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, 1, refused)
	assert.Equal(t, 1, runs)
}

// TestSTMSnapshotCompacted compacts the keyspace beyond the revision of a transaction's first read.
// The second read is at that revision and fails, so the function runs again.
func TestSTMSnapshotCompacted(t *testing.T) {
	_, client := newFake(t)
	put(t, client, "a", "old")
	runs := 0
	_, err := NewSTM(client, func(s STM) error {
		val := s.Get("a")
		if runs++; runs == 1 {
			put(t, client, "a", "new")
			resp, err := client.Put(t.Context(), "other", "")
			require.NoError(t, err)
			_, err = client.Compact(t.Context(), resp.Header.Revision)
			require.NoError(t, err)
		}
		s.Put("seen", val+s.Get("other"))
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, 2, runs)
	assert.Equal(t, []string{"new"}, values(t, client, "seen"))
}

// TestSTMRequests counts the requests of transactions. A key that a transaction has already read
// needs no second request.
func TestSTMRequests(t *testing.T) {
	s, client := newFake(t)
	requests := func(apply func(STM) error, opts ...STMOption) int {
		before := s.Calls("Txn")
		_, err := NewSTM(client, apply, opts...)
		require.NoError(t, err)
		return s.Calls("Txn") - before
	}
	readThree := func(s STM) error { s.Get("a"); s.Get("b"); s.Get("c", "a"); return nil }
	assert.Equal(t, 1, requests(func(s STM) error {
		s.Put("a", "1")
		s.Get("a")
		return nil
	}), "the last one")
	assert.Equal(t, 4, requests(readThree), "one for each key")
	assert.Equal(t, 2, requests(readThree, WithPrefetch("a", "b"), WithPrefetch("c")),
		"one for all keys")
	assert.Equal(t, 2, requests(func(s STM) error {
		s.Get("a", "b", "a")
		s.Rev("b")
		return nil
	}), "one for all keys of a call")

	runs := 0
	assert.Equal(t, 4, requests(func(s STM) error {
		if runs++; runs == 1 {
			s.Get("a")
			s.Get("b")
			put(t, client, "a", "2")
		}
		assert.Equal(t, runs == 2, s.Get("a") == "2")
		s.Get("b")
		return nil
	}), "after a conflict all keys are known")
	assert.Equal(t, 2, runs)
}

// TestTransactionsSurviveMalformedAnswers has a server leave out parts of its answer, or send wrong
// ones. The transaction fails with an error, and does not panic.
func TestTransactionsSurviveMalformedAnswers(t *testing.T) {
	s, client := newFake(t)
	header := &pb.ResponseHeader{Revision: 5}
	for name, resp := range map[string]*pb.TxnResponse{
		"nothing":    {},
		"no parts":   {Header: header, Succeeded: true},
		"empty part": {Header: header, Succeeded: true, Responses: []*pb.ResponseOp{{}}},
		"another's part": {Header: header, Succeeded: true,
			Responses: []*pb.ResponseOp{{Response: &pb.ResponseOp_ResponsePut{}}}},
		"conflict, empty": {Header: header},
	} {
		s.Unary("Txn", func(_ context.Context, req proto.Message) (proto.Message, error) {
			if name == "conflict, empty" && len(req.(*pb.TxnRequest).Compare) == 0 {
				return &pb.TxnResponse{Header: header, Succeeded: true, Responses: []*pb.ResponseOp{
					{Response: &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{}}},
				}}, nil
			}
			return resp, nil
		})
		for _, level := range checkedLevels {
			_, err := NewSTM(client, func(s STM) error {
				s.Get("a")
				return nil
			}, WithIsolation(level))
			assert.ErrorIs(t, err, txnanswer.ErrMalformed, name)
		}
	}
}

// TestSTMGetOfSeveralKeys: Get of several keys returns the value of the first key, or "" if that
// key does not exist. If the transaction has written one of the keys, Get returns the written
// value.
func TestSTMGetOfSeveralKeys(t *testing.T) {
	_, client := newFake(t)
	put(t, client, "b", "is b")
	_, err := NewSTM(client, func(s STM) error {
		assert.Empty(t, s.Get("a", "b"))
		assert.Equal(t, "is b", s.Get("b", "a"))
		s.Put("c", "is c")
		assert.Equal(t, "is c", s.Get("a", "c"))
		assert.Empty(t, s.Get())
		return nil
	})
	assert.NoError(t, err)
}
