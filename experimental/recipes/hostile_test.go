package recipe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// nonsense returns, by name, malformed responses to transactions. The test also makes malformed
// responses to gets, from the key-value pairs in these responses.
func nonsense() map[string]*pb.TxnResponse {
	header := &pb.ResponseHeader{Revision: 5}
	ranged := func(kvs ...*mvccpb.KeyValue) *pb.ResponseOp {
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
			ResponseRange: &pb.RangeResponse{Kvs: kvs, Count: -1}}}
	}
	empty, foreign := &mvccpb.KeyValue{}, &mvccpb.KeyValue{Key: []byte("x"), CreateRevision: -1,
		ModRevision: 1 << 62}
	put := &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{}}
	return map[string]*pb.TxnResponse{
		"nothing":           {},
		"success, nothing":  {Succeeded: true},
		"success, no parts": {Succeeded: true, Header: header},
		"success, empty parts": {Succeeded: true, Header: header,
			Responses: []*pb.ResponseOp{{}, {}, {}}},
		"failure, empty parts": {Header: header, Responses: []*pb.ResponseOp{{}, {}, {}}},
		"success, all puts": {Succeeded: true, Header: header,
			Responses: []*pb.ResponseOp{put, put, put}},
		"keys of others": {Succeeded: true, Header: header,
			Responses: []*pb.ResponseOp{put, ranged(foreign), ranged(foreign, foreign)}},
		"one key of others": {Succeeded: true, Header: header,
			Responses: []*pb.ResponseOp{ranged(foreign)}},
		"two keys of others": {Succeeded: true, Header: header,
			Responses: []*pb.ResponseOp{ranged(foreign), ranged(foreign)}},
		"keys without a name": {Succeeded: true, Header: header,
			Responses: []*pb.ResponseOp{ranged(empty), ranged(empty)}},
		"endless": {Succeeded: true, Header: header,
			Responses: []*pb.ResponseOp{ranged(), ranged()}},
	}
}

// TestMalformedAnswersAreErrors: no method panics because of a malformed response. A method that
// goes on waiting returns when its client is closed.
func TestMalformedAnswersAreErrors(t *testing.T) {
	for name, answer := range nonsense() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := etcdfake.New(t)
			client := newClient(t, fake.Listen())
			s := newSession(t, client)
			rw, inside := NewRWMutex(s, "held"), NewDoubleBarrier(s, "inside", 1)
			require.NoError(t, rw.Lock())
			require.NoError(t, inside.Enter())
			fake.On("Txn", func(*etcdfake.Call) etcdfake.Action {
				return etcdfake.Answer(proto.Clone(answer))
			})
			fake.On("Range", func(*etcdfake.Call) etcdfake.Action {
				got := &pb.RangeResponse{Count: -1}
				for _, part := range answer.Responses {
					got.Kvs = append(got.Kvs, part.GetResponseRange().GetKvs()...)
				}
				return etcdfake.Answer(got)
			})
			var calls []<-chan error
			for _, f := range []func() error{
				NewRWMutex(s, "rw").Lock, NewRWMutex(s, "rw").RLock, rw.Unlock,
				NewDoubleBarrier(s, "double", 2).Enter, inside.Leave,
				NewBarrier(client, "barrier").Hold, NewBarrier(client, "barrier").Wait,
				func() error { return NewQueue(client, "queue").Enqueue("v") },
				func() error { _, err := NewQueue(client, "queue").Dequeue(); return err },
				func() error { return NewPriorityQueue(client, "priorities").Enqueue("v", 1) },
				func() error {
					_, err := NewPriorityQueue(client, "priorities").Dequeue()
					return err
				},
			} {
				calls = append(calls, async(f))
			}
			time.Sleep(100 * time.Millisecond) // methods that retry get more malformed responses
			require.NoError(t, client.Close())
			for i, done := range calls {
				_ = result(t, done)
				assert.Empty(t, done, "call %d", i)
			}
		})
	}
}
