package main

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// progressEvery is how often the program asks for progress notices.
const progressEvery = 500 * time.Millisecond

// reopenPause is how long the program waits before it opens a closed watch again.
const reopenPause = 100 * time.Millisecond

// watch keeps a watch of the client open. If the watch's channel is closed, the program opens the
// watch again from the next revision.
type watch struct {
	load  *load
	opts  []clientv3.OpOption
	moved chan struct{} // has a buffer of one; after each response the watch sends to it

	mu     sync.Mutex
	record record.Watch
	seen   int64 // the last revision that was delivered
}

// kinds returns a watch of each kind.
func kinds(past int64) []*watch {
	const all = record.LoadPrefix
	end := clientv3.GetPrefixRangeEnd(all)
	prefix := func(kind string, opts ...clientv3.OpOption) *watch {
		return &watch{record: record.Watch{Kind: kind, Key: all, End: end},
			opts: append(opts, clientv3.WithPrefix())}
	}
	key := &watch{record: record.Watch{Kind: "key", Key: loadKey(0)}}
	fromPast := prefix("past")
	fromPast.record.From = past
	noPut := prefix("deletes", clientv3.WithFilterPut())
	noPut.record.NoPut = true
	noDelete := prefix("puts", clientv3.WithFilterDelete())
	noDelete.record.NoDelete = true
	prevKV := prefix("prevKV", clientv3.WithPrevKV())
	prevKV.record.PrevKV = true
	return []*watch{key, prefix("prefix"), fromPast, noPut, noDelete, prevKV,
		prefix("progress", clientv3.WithProgressNotify()),
		prefix("fragment", clientv3.WithFragment())}
}

// startWatches opens a watch of each kind and waits until all are open.
func (l *load) startWatches(ctx context.Context) error {
	if !l.plan.Watches {
		return nil
	}
	l.watches = kinds(l.plan.PastRevision)
	for _, w := range l.watches {
		w.load, w.moved = l, make(chan struct{}, 1)
		opened := make(chan struct{})
		// Ends when l.streams ends; the method end waits for it.
		l.streamsEnded.Go(func() { w.run(opened) })
		select {
		case <-opened:
		case <-ctx.Done():
			return errors.Join(errors.New("a watch does not open"), ctx.Err())
		}
	}
	l.repeat(progressEvery, func(ctx context.Context, _ int) {
		_ = l.client.RequestProgress(ctx) // an error is ignored; the watches record the notices
	})
	return nil
}

// run keeps the watch open until the load's streams end. When the watch is open for the first time,
// run closes the channel that it got as the parameter opened.
func (w *watch) run(opened chan struct{}) {
	next := w.record.From
	for w.load.streams.Err() == nil {
		opts := append(w.opts[:len(w.opts):len(w.opts)], clientv3.WithCreatedNotify())
		if next > 0 {
			opts = append(opts, clientv3.WithRev(next))
		}
		ctx, cancel := context.WithCancel(w.load.streams)
		for resp := range w.load.client.Watch(ctx, w.record.Key, opts...) {
			if resp.Created && opened != nil {
				w.begin(resp.Header.Revision + 1)
				close(opened)
				opened = nil
			}
			w.deliver(resp)
		}
		cancel()
		next = w.closed()
		select {
		case <-time.After(reopenPause):
		case <-w.load.streams.Done():
		}
	}
}

// begin sets the first revision that the watch has to deliver, unless the plan has set it already.
func (w *watch) begin(from int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.record.From == 0 {
		w.record.From = from
	}
	w.seen = w.record.From - 1
}

// closed counts that the watch's channel was closed before the load has ended. It returns the
// revision from which to open the watch again.
func (w *watch) closed() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.load.streams.Err() == nil {
		w.record.Reopened++
	}
	return w.seen + 1
}

// deliver writes down what a response has.
func (w *watch) deliver(resp clientv3.WatchResponse) {
	now := time.Now().UnixNano()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range resp.Events {
		event := record.Event{Rev: e.Kv.ModRevision, Key: string(e.Kv.Key), At: now,
			Delete: e.Type == clientv3.EventTypeDelete}
		if e.PrevKv != nil {
			event.Prev = e.PrevKv.ModRevision
		}
		w.record.Events = append(w.record.Events, event)
		w.seen = max(w.seen, event.Rev)
	}
	switch {
	case resp.CompactRevision > w.seen+1:
		w.record.Gaps = append(w.record.Gaps,
			record.Gap{After: w.seen, Until: resp.CompactRevision})
		w.seen = resp.CompactRevision - 1
	case resp.IsProgressNotify():
		w.record.Notices = append(w.record.Notices,
			record.Notice{After: len(w.record.Events), Rev: resp.Header.Revision})
	}
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// waitFor waits until the watch has delivered the revision, or until the time most has passed.
func (w *watch) waitFor(revision int64, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		w.mu.Lock()
		done := w.seen >= revision
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-w.moved:
		case <-timer.C:
			return
		}
	}
}
