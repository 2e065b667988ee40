package endpoints

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// relistBackoff spaces the lists that lost watches and failed lists cause.
var relistBackoff = backoff.Policy{Base: 50 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// follower serves one watch channel: it lists, watches from there on until the
// watch is lost, and starts over.
type follower struct {
	// read-only after NewWatchChannel
	m  *manager
	ch chan []*Update // run sends on it and closes it

	// used by run alone
	view *view
	rev  int64 // everything up to this revision has been told or is about to be
}

func (m *manager) NewWatchChannel(ctx context.Context) (WatchChannel, error) {
	f := &follower{m: m, ch: make(chan []*Update, 1), view: newView(m.prefix)}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(m.client.Ctx(), cancel)
	first, err := f.list(ctx)
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	// Ends with ctx or the client, whatever servers and consumer do. The channel is
	// closed when it has ended: its reader waits for it.
	go func() {
		defer close(f.ch)
		defer cancel()
		defer stop()
		f.run(ctx, first)
	}()
	return f.ch, nil
}

// run delivers updates until ctx ends.
func (f *follower) run(ctx context.Context, updates []*Update) {
	for failures := 0; ; failures++ {
		if !f.send(ctx, updates) {
			return
		}
		if f.watch(ctx) {
			failures = 0
		}
		var err error
		for {
			if backoff.Wait(ctx, relistBackoff.Delay(failures)) != nil {
				return
			}
			if updates, err = f.list(ctx); err == nil {
				break
			}
			failures++
		}
	}
}

// list reads all endpoints, and returns what the consumer does not know of.
func (f *follower) list(ctx context.Context) ([]*Update, error) {
	resp, err := f.m.client.Get(ctx, f.m.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	f.rev = resp.Header.GetRevision()
	return f.view.list(resp.Kvs), nil
}

// watch delivers what changes after f.rev until the watch is lost or ctx has
// ended. It reports whether the watch has worked at all.
//
// A member without a leader knows of no changes, so the watch requires one.
func (f *follower) watch(ctx context.Context) (worked bool) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range f.m.client.Watch(ctx, f.m.prefix, clientv3.WithPrefix(),
		clientv3.WithRev(f.rev+1)) {
		if resp.Err() != nil || !f.send(ctx, f.view.apply(resp.Events)) {
			return worked
		}
		worked = true
	}
	return worked
}

// send delivers updates unless there are none. It reports false where ctx has
// ended first.
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
