package leasing

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// TestShortAnswersAreErrors: if the response to a transaction lacks parts, the transaction fails.
// If the response to a read lacks parts, the client sends the read again, and does not cache the
// key.
func TestShortAnswersAreErrors(t *testing.T) {
	wrong := &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{}}
	for name, answer := range map[string]*pb.TxnResponse{
		"nothing":              {},
		"nothing, but success": {Succeeded: true},
		"no header":            {Succeeded: true, Responses: []*pb.ResponseOp{{}, {}}},
		"parts of another kind": {Succeeded: true, Header: &pb.ResponseHeader{Revision: 7},
			Responses: []*pb.ResponseOp{wrong, wrong, wrong}},
		"refused, wrong parts": {Header: &pb.ResponseHeader{Revision: 7},
			Responses: []*pb.ResponseOp{wrong, wrong}},
		"endless owners": {Header: &pb.ResponseHeader{Revision: -7},
			Responses: []*pb.ResponseOp{{Response: &pb.ResponseOp_ResponseRange{
				ResponseRange: &pb.RangeResponse{
					Kvs: []*mvccpb.KeyValue{{}, {Key: []byte("elsewhere")},
						{Key: []byte(pfx + "k"), CreateRevision: -1}}},
			}}}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.Start(t)
			kv := newKV(t, newClient(t, fake.Addr()))
			owns(t, kv, "owned")
			fake.Unary("Txn", func(context.Context, proto.Message) (proto.Message, error) {
				return proto.Clone(answer), nil
			})
			try := func(op clientv3.Op) error {
				ctx, cancel := context.WithTimeout(t.Context(), 100*tick)
				defer cancel()
				_, err := kv.Do(ctx, op)
				return err
			}
			for _, key := range []string{"k", "owned"} {
				require.NoError(t, try(clientv3.OpGet(key)))
				put := clientv3.OpPut(key, "v")
				require.Error(t, try(put))
				require.Error(t, try(clientv3.OpTxn(nil, []clientv3.Op{put}, nil)))
				require.Equal(t, name != "parts of another kind",
					try(clientv3.OpDelete(key, clientv3.WithFromKey())) != nil)
			}
			require.Less(t, fake.Calls("Txn"), 300, "nothing spins")
		})
	}
}

// TestWatchOfNonsenseIsSurvived: a client still caches its key after malformed watch responses, for
// example events without a key, of an unknown type, or with the id of an unknown watch.
func TestWatchOfNonsenseIsSurvived(t *testing.T) {
	fake := etcdfake.Start(t)
	fake.Watch(func(_ context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		for {
			req, err := recv()
			if err != nil {
				return err
			}
			id := req.GetCreateRequest().GetWatchId()
			for _, resp := range []*pb.WatchResponse{
				{Created: true, WatchId: id, Header: &pb.ResponseHeader{Revision: 1}},
				{WatchId: id, Events: []*mvccpb.Event{{}, {Type: 77},
					{Kv: &mvccpb.KeyValue{Key: []byte("other"), ModRevision: 1 << 60}}}},
				{WatchId: id + 7, Events: []*mvccpb.Event{{Type: mvccpb.Event_DELETE}}},
				{WatchId: id, Canceled: true, CompactRevision: 1 << 62},
			} {
				if err := send(resp); err != nil {
					return err
				}
			}
		}
	})
	kv := newKV(t, newClient(t, fake.Addr()))
	owns(t, kv, "k")
	require.Eventually(t, func() bool {
		_, total := fake.Streams("Watch")
		return total > 0 && fake.Calls("Range") > 2
	}, eventually, tick)
	require.True(t, kv.isCached("k"))
	require.Less(t, fake.Calls("Range"), 50)
}

// TestLeaseKeysWithNonsenseAreIgnored: the server sends a huge lease TTL and nonsense in the list
// of the keys of the lease. The client still answers from the cache, and ignores the keys that are
// not lease keys (keys that mark that a client owns a key).
func TestLeaseKeysWithNonsenseAreIgnored(t *testing.T) {
	fake := etcdfake.Start(t)
	fake.KeepAlive(func(_ context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
		send func(*pb.LeaseKeepAliveResponse) error) error {
		for {
			req, err := recv()
			if err != nil {
				return err
			}
			if err := send(&pb.LeaseKeepAliveResponse{ID: req.ID, TTL: 1<<63 - 1}); err != nil {
				return err
			}
		}
	})
	kv := newKV(t, newClient(t, fake.Addr()))
	owns(t, kv, "k")
	fake.Unary("LeaseTimeToLive", func(context.Context, proto.Message) (proto.Message, error) {
		return &pb.LeaseTimeToLiveResponse{Keys: [][]byte{nil, []byte("x"), []byte(pfx),
			[]byte(pfx + "orphan")}}, nil
	})
	kv.cache.mu.Lock()
	kv.cache.mayHaveOrphans = true
	kv.cache.mu.Unlock()
	kv.owner.releaseOrphans(kv.cache.epoch)
	require.True(t, kv.isCached("k"))
	require.Eventually(t, func() bool {
		kv.cache.mu.RLock()
		defer kv.cache.mu.RUnlock()
		return len(kv.cache.ownerships) == 1
	}, eventually, tick)
}
