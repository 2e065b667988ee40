package concurrency

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Observe reports the leader of the election: the current one, each new one, and each value that
// the leader proclaims. The leader is the candidate whose key was created first. Each report is a
// response whose first key-value pair is the leader's.
//
// Values are reported in the order in which they were proclaimed, each at most once. Observe never
// leaves out the latest value. It may leave out:
//
//   - a leader that comes and goes between two of its reads
//   - values that were proclaimed while it had no connection
//
// The channel is not buffered, so Observe waits for a slow reader. The reader then gets the values
// that were proclaimed in the meantime, except those whose revisions have been compacted. A reader
// that stops reading must cancel ctx.
//
// The channel is closed when ctx or the client ends, and when the server refuses to answer. Observe
// needs no lease, so it goes on when the session ends.
func (e *Election) Observe(ctx context.Context) <-chan *clientv3.GetResponse {
	ch := make(chan *clientv3.GetResponse)
	if e.s == nil {
		close(ch)
		return ch
	}
	o := &observer{client: e.s.client, pfx: e.pfx, ch: ch}
	// The goroutine ends when ctx or the client ends, or when the server refuses to answer. It then
	// closes ch. The reader of ch waits for that.
	go o.run(ctx)
	return ch
}

// observer serves one call of Observe. Only its goroutine sends on the channel and closes it.
type observer struct {
	client *clientv3.Client
	pfx    string
	ch     chan<- *clientv3.GetResponse

	// createRev and modRev are the create and mod revision of the key that was reported last.
	createRev int64
	modRev    int64
}

// run reads who leads, reports the leader, watches for changes, and then starts over. It watches
// the leader's key, or the whole prefix if there are no candidates. It returns when ctx or the
// client ends, or when the server refuses to answer.
func (o *observer) run(ctx context.Context) {
	defer close(o.ch)
	ctx, release := await.Join(ctx, o.client.Ctx())
	defer release()

	_ = await.Loop(ctx, nil, func(ctx context.Context) (await.Change, error) {
		resp, err := o.client.Get(ctx, o.pfx, clientv3.WithFirstCreate()...)
		if err != nil {
			return nil, err
		}
		var leader *mvccpb.KeyValue
		if len(resp.Kvs) > 0 {
			leader = resp.Kvs[0]
			o.report(ctx, resp.Header, leader)
		}
		return func(ctx context.Context) bool {
			return o.watch(ctx, leader, resp.Header.GetRevision()+1)
		}, nil
	}, func(err error) bool { return classify.IsHalt(ctx, err) })
}

// watch watches the leader's key from the given revision on, and reports each value that the leader
// proclaims. It returns true when the key is deleted.
//
// If leader is nil, it watches the prefix of the election and reports nothing. It then returns true
// when a candidate appears.
//
// It returns false if the server ends the watch, or ctx ends, before that.
func (o *observer) watch(ctx context.Context, leader *mvccpb.KeyValue, from int64) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	key, opts := string(leader.GetKey()), []clientv3.OpOption{clientv3.WithRev(from)}
	if leader == nil {
		key, opts = o.pfx, append(opts, clientv3.WithPrefix(), clientv3.WithFilterDelete())
	}
	for resp := range o.client.Watch(ctx, key, opts...) {
		for _, ev := range resp.Events {
			if leader == nil || ev.Type == clientv3.EventTypeDelete {
				return true
			}
			o.report(ctx, resp.Header, ev.Kv)
		}
	}
	return false
}

// report sends the leader's key and value to the reader of the channel. It sends nothing if this
// value was reported before, or if ctx ends first.
func (o *observer) report(ctx context.Context, hdr *pb.ResponseHeader, kv *mvccpb.KeyValue) {
	createRev, modRev := kv.GetCreateRevision(), kv.GetModRevision()
	if createRev == o.createRev && modRev <= o.modRev {
		return
	}
	select {
	case o.ch <- &clientv3.GetResponse{Header: hdr, Kvs: []*mvccpb.KeyValue{kv}}:
		o.createRev, o.modRev = createRev, modRev
	case <-ctx.Done():
	}
}
