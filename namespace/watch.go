package namespace

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// prefixWatcher is the Watcher of a namespace.
type prefixWatcher struct {
	clientv3.Watcher
	space
	relays relays
}

// NewWatcher returns a Watcher for the keys of w that begin with prefix. It changes only the keys
// of the events in a response; all other fields stay. It copies events before it changes their
// keys, because watchers may share events. Closing the returned Watcher closes w.
//
// A watch costs one copy of each of its events. It also costs a goroutine if w is neither a
// client's Watcher nor a namespace of a client's Watcher.
func NewWatcher(w clientv3.Watcher, prefix string) clientv3.Watcher {
	return &prefixWatcher{Watcher: w, space: newSpace(prefix),
		relays: relays{stop: make(chan struct{})}}
}

func (w *prefixWatcher) Watch(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) clientv3.WatchChan {
	return w.WatchRewritten(ctx, nil, key, opts...)
}

// watchRewriter is a Watcher that runs a function on the events of a Watch before they are
// delivered. The Watcher of a client implements it.
type watchRewriter interface {
	WatchRewritten(ctx context.Context, rewrite func([]*clientv3.Event) []*clientv3.Event,
		key string, opts ...clientv3.OpOption) clientv3.WatchChan
}

// WatchRewritten is a Watch that runs rewrite on the events before they are delivered. A namespace
// that is made inside this one calls it to change the keys of its events.
func (w *prefixWatcher) WatchRewritten(
	ctx context.Context, rewrite func([]*clientv3.Event) []*clientv3.Event, key string,
	opts ...clientv3.OpOption,
) clientv3.WatchChan {
	op := w.watchOp(key, opts)
	own := w.events
	if rewrite != nil {
		own = func(events []*clientv3.Event) []*clientv3.Event { return rewrite(w.events(events)) }
	}
	inner := w.Watcher
	if client, ok := inner.(*clientv3.Client); ok {
		inner = client.Watcher
	}
	if inner, ok := inner.(watchRewriter); ok {
		return inner.WatchRewritten(ctx, own, string(op.KeyBytes()), exactly(op))
	}
	return w.relays.start(ctx, inner.Watch(ctx, string(op.KeyBytes()), exactly(op)), own)
}

// watchOp returns the operation that watches a key of the namespace. It puts the prefix before the
// key. An empty key becomes the lowest key, because servers watch the lowest key for an empty one.
func (s space) watchOp(key string, opts []clientv3.OpOption) clientv3.Op {
	op := clientv3.OpWatch(key, opts...)
	if len(op.KeyBytes()) == 0 {
		op.WithKeyBytes(endOfKeys)
	}
	outer, end := s.enter(op.KeyBytes(), op.RangeBytes())
	op.WithKeyBytes(outer)
	op.WithRangeBytes(end)
	return op
}

// Close closes the inner Watcher, and waits for the goroutines that copy its responses.
func (w *prefixWatcher) Close() error {
	err := w.Watcher.Close()
	w.relays.close()
	return err
}

// events returns copies of those events whose keys have the prefix. The keys of the copies are
// without the prefix.
func (s space) events(events []*clientv3.Event) []*clientv3.Event {
	if len(events) == 0 {
		return events
	}
	own := make([]*clientv3.Event, 0, len(events))
	for _, event := range events {
		if key, ok := s.inner(event.GetKv().GetKey()); ok && event.GetKv() != nil {
			own = append(own, s.copied(event, key))
		}
	}
	return own
}

// copied returns a copy of an event. The key in the copy is the parameter key, which is the event's
// key without the prefix. The copy shares the values with the event.
func (s space) copied(event *clientv3.Event, key []byte) *clientv3.Event {
	c := &struct { // one allocation for the event and both of its pairs
		event    clientv3.Event
		kv, prev mvccpb.KeyValue
	}{}
	c.event.Type, c.event.Kv = event.Type, &c.kv
	copyPair(&c.kv, event.Kv, key)
	if prevKey, ok := s.inner(event.GetPrevKv().GetKey()); ok && event.PrevKv != nil {
		c.event.PrevKv = &c.prev
		copyPair(&c.prev, event.PrevKv, prevKey)
	}
	return &c.event
}

func copyPair(dst, src *mvccpb.KeyValue, key []byte) {
	dst.Key, dst.Value, dst.Lease = key, src.Value, src.Lease
	dst.CreateRevision, dst.ModRevision, dst.Version = src.CreateRevision, src.ModRevision,
		src.Version
}
