package txnanswer_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

func ranged(kvs ...*mvccpb.KeyValue) *pb.ResponseOp {
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
		ResponseRange: &pb.RangeResponse{Kvs: kvs}}}
}

// one is a well-formed answer to a get, a put, a delete and a nested transaction.
func one() []*pb.ResponseOp {
	return []*pb.ResponseOp{
		ranged(&mvccpb.KeyValue{Key: []byte("k")}),
		{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{}}},
		{Response: &pb.ResponseOp_ResponseDeleteRange{
			ResponseDeleteRange: &pb.DeleteRangeResponse{}}},
		{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: &pb.TxnResponse{}}},
	}
}

// readers are the functions under test. The function readers[i] accepts only the part one()[i] of
// the answer.
var readers = []func([]*pb.ResponseOp, int) (bool, error){
	reader(txnanswer.Range), reader(txnanswer.Put), reader(txnanswer.Delete),
	reader(txnanswer.Txn),
}

// reader wraps the function read. The wrapper returns, instead of the result, whether the result is
// not nil.
func reader[R any](
	read func([]*pb.ResponseOp, int) (*R, error),
) func([]*pb.ResponseOp, int) (bool, error) {
	return func(parts []*pb.ResponseOp, i int) (bool, error) {
		resp, err := read(parts, i)
		return resp != nil, err
	}
}

func TestEachReaderAcceptsItsKindOnly(t *testing.T) {
	for kind, read := range readers {
		for i := range one() {
			ok, err := read(one(), i)
			assert.Equal(t, i == kind, ok, "%d reads %d", kind, i)
			if i == kind {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, txnanswer.ErrMalformed, "%d reads %d", kind, i)
			}
		}
	}
	kvs, err := txnanswer.Pairs(one(), 0)
	require.NoError(t, err)
	require.Len(t, kvs, 1)
}

func TestMissingPartsAreErrors(t *testing.T) {
	for name, parts := range map[string][]*pb.ResponseOp{
		"no parts":    nil,
		"nil part":    {nil},
		"empty part":  {{}},
		"no get":      {{Response: &pb.ResponseOp_ResponseRange{}}},
		"no put":      {{Response: &pb.ResponseOp_ResponsePut{}}},
		"no delete":   {{Response: &pb.ResponseOp_ResponseDeleteRange{}}},
		"no txn":      {{Response: &pb.ResponseOp_ResponseTxn{}}},
		"missing key": {ranged(nil)},
	} {
		for kind, read := range readers {
			for i := -1; i < 3; i++ {
				_, err := read(parts, i)
				assert.ErrorIs(t, err, txnanswer.ErrMalformed, "%s, %d reads %d", name, kind, i)
			}
		}
		_, err := txnanswer.Pairs(parts, 0)
		assert.ErrorIs(t, err, txnanswer.ErrMalformed, name)
	}
}

func TestErrorsSayWhatDoesNotFit(t *testing.T) {
	_, err := txnanswer.Put(nil, 0)
	require.EqualError(t, err,
		"etcdclient: malformed response: no answer to request 0 of a transaction, a put")
	_, err = txnanswer.Put(one(), 0)
	require.EqualError(t, err, "etcdclient: malformed response: "+
		"*etcdserverpb.ResponseOp_ResponseRange as the answer to a put")
	_, err = txnanswer.Pairs([]*pb.ResponseOp{ranged(&mvccpb.KeyValue{}, nil)}, 0)
	require.EqualError(t, err, "etcdclient: malformed response: pair 1 of 2 is missing")
	require.EqualError(t, txnanswer.CheckCount(one(), 1),
		"etcdclient: malformed response: a transaction's answer has 4 parts instead of 1")
	require.NoError(t, txnanswer.CheckCount(one(), 4))
}

func TestOnlyPairIsOfOneKey(t *testing.T) {
	pair := &mvccpb.KeyValue{Key: []byte("k")}
	for name, c := range map[string]struct {
		resp *pb.RangeResponse
		want *mvccpb.KeyValue
		fits bool
	}{
		"no answer":    {nil, nil, true},
		"no key":       {&pb.RangeResponse{}, nil, true},
		"one key":      {&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{pair}}, pair, true},
		"two keys":     {&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{pair, pair}}, nil, false},
		"missing pair": {&pb.RangeResponse{Kvs: []*mvccpb.KeyValue{nil}}, nil, false},
	} {
		kv, err := txnanswer.OnlyPair(c.resp)
		assert.Same(t, c.want, kv, name)
		if c.fits {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorIs(t, err, txnanswer.ErrMalformed, name)
		}
	}
}

// FuzzReaders feeds the readers any answer that a server can send.
func FuzzReaders(f *testing.F) {
	seed, err := proto.Marshal(&pb.TxnResponse{Succeeded: true, Responses: one()})
	require.NoError(f, err)
	f.Add(seed, 0)
	f.Add([]byte{}, -1)
	f.Fuzz(func(t *testing.T, answer []byte, i int) {
		resp := &pb.TxnResponse{}
		if proto.Unmarshal(answer, resp) != nil {
			return
		}
		accepted := 0
		for kind, read := range readers {
			ok, err := read(resp.Responses, i)
			if err == nil {
				require.True(t, ok, "%d returns nil without an error", kind)
				accepted++
			} else {
				require.ErrorIs(t, err, txnanswer.ErrMalformed)
			}
		}
		require.LessOrEqual(t, accepted, 1, "a part has one kind")
		kvs, err := txnanswer.Pairs(resp.Responses, i)
		if err == nil {
			require.NotContains(t, kvs, (*mvccpb.KeyValue)(nil))
		}
	})
}
