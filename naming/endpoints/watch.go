package endpoints

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
)

// follower serves one WatchChannel. It lists the endpoints, watches their changes until the watch
// is lost, and then lists the endpoints again.
type follower struct {
	// read-only after NewWatchChannel
	m  *manager
	ch chan []*Update // only the goroutine that calls run sends on it and closes it

	// used by one goroutine at a time: first by NewWatchChannel, then by run
	view *view
	rev  int64 // the revision at which the endpoints were last listed
}

func (m *manager) NewWatchChannel(ctx context.Context) (WatchChannel, error) {
	f := &follower{m: m, ch: make(chan []*Update, 1),
		view: &view{prefix: m.prefix, revs: map[string]int64{}}}
	ctx, release := await.Join(ctx, m.client.Ctx())
	first, err := f.list(ctx)
	if err != nil {
		release()
		return nil, err
	}
	// The goroutine ends when ctx ends or the client is closed. It then closes f.ch. The reader of
	// f.ch waits for the close.
	go func() {
		defer close(f.ch)
		defer release()
		f.run(ctx, first)
	}()
	return f.ch, nil
}

// run delivers the given updates. After that, it delivers all later updates until ctx ends.
func (f *follower) run(ctx context.Context, first []*Update) {
	f.send(ctx, first)
	_ = await.Loop(ctx, f.watch, func(ctx context.Context) (await.Change, error) {
		updates, err := f.list(ctx)
		if err != nil {
			return nil, err
		}
		f.send(ctx, updates)
		return f.watch, nil
	}, nil)
}

// list reads all endpoints, and returns the updates that the consumer has not received yet.
func (f *follower) list(ctx context.Context) ([]*Update, error) {
	resp, err := f.m.client.Get(ctx, f.m.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	f.rev = resp.Header.GetRevision()
	return f.view.list(resp.Kvs), nil
}

// watch delivers the changes after f.rev. It returns false when the watch is lost or ctx has ended.
// The watch requires a leader, because a member that is cut off from the leader does not learn of
// changes.
func (f *follower) watch(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range f.m.client.Watch(ctx, f.m.prefix, clientv3.WithPrefix(),
		clientv3.WithRev(f.rev+1)) {
		if resp.Err() != nil || !f.send(ctx, f.view.apply(resp.Events)) {
			break
		}
	}
	return false
}

// send delivers updates and returns true. If ctx ends first, it returns false. It delivers nothing
// if updates is empty.
func (f *follower) send(ctx context.Context, updates []*Update) bool {
	if len(updates) == 0 {
		return ctx.Err() == nil
	}
	select {
	case f.ch <- updates:
		return true
	case <-ctx.Done():
		return false
	}
}
