package clientv3_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// oddServer confirms creates in order, and sends each watch one event, of the watch's own key at
// the revision asked for.
type oddServer struct {
	ownIDs  bool          // ids of the client's are not taken over
	deaf    bool          // creates with ids of the client's are left unanswered
	slow    time.Duration // what the first create with an id of the client's takes to be answered
	refuses bool          // that create is refused once

	streams atomic.Int64 // opened
	seen    atomic.Bool  // that create
}

func (o *oddServer) serve(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	o.streams.Add(1)
	for id := int64(0); ; id++ {
		req, err := recv()
		if err != nil {
			return err
		}
		create := req.GetCreateRequest()
		if create == nil || o.deaf && create.WatchId != 0 {
			continue
		}
		first := create.WatchId != 0 && o.seen.CompareAndSwap(false, true)
		if first {
			time.Sleep(o.slow)
		}
		if first && o.refuses {
			if err := send(&pb.WatchResponse{WatchId: -1, Created: true, Canceled: true,
				CancelReason: "not now"}); err != nil {
				return err
			}
			continue
		}
		if o.ownIDs || create.WatchId == 0 {
			create.WatchId = id
		}
		rev := max(create.StartRevision, 2)
		for _, resp := range []*pb.WatchResponse{
			{Header: &pb.ResponseHeader{Revision: 1}, WatchId: create.WatchId, Created: true},
			{Header: &pb.ResponseHeader{Revision: rev}, WatchId: create.WatchId,
				Events: []*mvccpb.Event{
					{Kv: &mvccpb.KeyValue{Key: create.Key, ModRevision: rev}},
				}},
		} {
			if err := send(resp); err != nil {
				return err
			}
		}
	}
}

// TestLateCreateAnswersShiftNoWatch: many watches at once, on servers that do with ids of the
// client's what they like and take longer over the first than the client waits. No watch may ever
// see what another one asked for.
func TestLateCreateAnswersShiftNoWatch(t *testing.T) {
	for name, server := range map[string]*oddServer{
		"etcd":                   {},
		"slow":                   {slow: time.Minute},
		"slow, refuses":          {slow: time.Minute, refuses: true},
		"own ids":                {ownIDs: true},
		"own ids, slow":          {ownIDs: true, slow: time.Minute},
		"own ids, slow, refuses": {ownIDs: true, slow: time.Minute, refuses: true},
		"deaf":                   {deaf: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipes := etcdfake.WatchClient(server.serve)
				w := clientv3.NewWatchFromWatchClient(pipes, nil)
				const watches = 50
				var chans []func() clientv3.WatchChan
				for i := range watches {
					chans = append(chans, watchAsync(t.Context(), w, fmt.Sprint(i)))
				}
				for i, ch := range chans {
					wr := nextResponse(t, ch())
					require.NoError(t, wr.Err())
					require.Equal(t, fmt.Sprint(i), string(wr.Events[0].Kv.Key))
				}
				require.LessOrEqual(t, server.streams.Load(), int64(2))
				require.NoError(t, w.Close())
				pipes.Close()
			})
		})
	}
}
