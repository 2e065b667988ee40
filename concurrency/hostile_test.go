package concurrency

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// nonsense returns answers to transactions that no server should give. Each map key says what is
// wrong with the answer.
func nonsense() map[string]*pb.TxnResponse {
	header := &pb.ResponseHeader{Revision: 5}
	put := &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{}}
	ranged := func(kvs ...*mvccpb.KeyValue) *pb.ResponseOp {
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
			ResponseRange: &pb.RangeResponse{Kvs: kvs, Count: -1}}}
	}
	foreign := &mvccpb.KeyValue{Key: []byte("x"), CreateRevision: -1, ModRevision: 1 << 62}
	all := map[string]*pb.TxnResponse{"nothing": {}, "no parts": {Header: header},
		"success without parts": {Header: header, Succeeded: true}}
	for name, parts := range map[string][]*pb.ResponseOp{
		"empty parts":       {{}, {}},
		"parts of puts":     {put, put},
		"empty ranges":      {ranged(), ranged()},
		"keys of others":    {ranged(foreign), ranged(foreign)},
		"more keys":         {ranged(foreign, foreign, foreign), ranged(foreign, foreign, foreign)},
		"empty keys":        {ranged(&mvccpb.KeyValue{}), ranged(&mvccpb.KeyValue{})},
		"a put and others":  {put, ranged(foreign, foreign)},
		"a put and nothing": {put, ranged()},
	} {
		for _, succeeded := range []bool{true, false} {
			all[name+map[bool]string{true: ", success",
				false: ", failure"}[succeeded]] = &pb.TxnResponse{Succeeded: succeeded,
				Responses: parts, Header: header}
		}
	}
	return all
}

// TestLocksAndElectionsSurviveMalformedAnswers: for each wrong answer of a server, no call panics,
// and each call ends with its context at the latest. Lock, TryLock and Campaign fail, because the
// session has no key in the queue. They must fail even if the answer has a key of another session.
func TestLocksAndElectionsSurviveMalformedAnswers(t *testing.T) {
	for name, answer := range nonsense() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, client := newFake(t)
			s := newSession(t, client)
			held, elected := NewMutex(s, "held"), NewElection(s, "elected")
			require.NoError(t, held.Lock(t.Context()))
			require.NoError(t, elected.Campaign(t.Context(), "value"))
			guarded := held.Ctx()
			fake.Unary("Txn", func(context.Context, proto.Message) (proto.Message, error) {
				return proto.Clone(answer), nil
			})
			fake.Unary("Range", func(context.Context, proto.Message) (proto.Message, error) {
				got := &pb.RangeResponse{}
				for _, part := range answer.Responses {
					got.Kvs = append(got.Kvs, part.GetResponseRange().GetKvs()...)
				}
				return got, nil
			})
			m, e := NewMutex(s, "lock"), NewElection(s, "election")
			for call, f := range map[string]func(context.Context) error{
				"Lock": m.Lock, "TryLock": m.TryLock, "Unlock": held.Unlock,
				"Campaign": e.campaignWith("x"), "Resign": elected.Resign,
				"Proclaim": func(ctx context.Context) error { return elected.Proclaim(ctx, "y") },
				"Leader":   func(ctx context.Context) error { _, err := e.Leader(ctx); return err },
				"Observe": func(ctx context.Context) error {
					for range e.Observe(ctx) {
					}
					return nil
				},
			} {
				done := async(func() error { return f(inTime(t, 100*time.Millisecond)) })
				err := result(t, done, time.Minute)
				if call == "Lock" || call == "TryLock" || call == "Campaign" {
					assert.Error(t, err, "%s has no key", call)
				}
			}
			assert.Error(t, guarded.Err(), "Unlock ends it, whatever its answer")
			fake.Unary("Txn", nil)
			fake.Unary("Range", nil)
		})
	}
}
