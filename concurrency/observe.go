package concurrency

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Observe reports the leader: the current one, each new one, and each value that the leader
// proclaims, as the first of a response's Kvs. The leader is the candidate whose key was created
// first. No value is reported twice, and values are reported in the order in which they were
// proclaimed. Observe may leave out a leader that comes and goes while it looks for one, and values
// from times without a connection, but never the latest.
//
// The channel is not buffered. Observe waits for a slow reader, which then gets what was proclaimed
// in between, in order, as far as a watch keeps it. The channel is closed when ctx or the client
// ends, and when the server refuses to answer. A reader that leaves before must cancel ctx. Observe
// needs no lease, so it goes on when the session ends.
func (e *Election) Observe(ctx context.Context) <-chan *clientv3.GetResponse {
	ch := make(chan *clientv3.GetResponse)
	if e.s == nil {
		close(ch)
		return ch
	}
	o := &observer{client: e.s.client, pfx: e.pfx, ch: ch}
	// Ends with ctx or the client. The reader waits for it until the channel is closed.
	go o.run(ctx)
	return ch
}

// observer is the only sender on, and closer of, the channel of one Observe.
type observer struct {
	client *clientv3.Client
	pfx    string
	ch     chan<- *clientv3.GetResponse

	// the revisions of the key that was reported last
	createRev int64
	modRev    int64
}

// run reads who leads and reports it, again and again, until ctx or the client ends, or the server
// refuses to answer. In between it watches the leader's key, or the whole prefix while there are no
// candidates.
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

// watch reports the values that the leader proclaims from a revision on, and returns true when the
// leader's key is deleted. Without a leader it returns true when there is a candidate. It returns
// false if the watch ends before.
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

// report sends the leader's key to the reader if it is new, unless ctx ends first.
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
