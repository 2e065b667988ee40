package main

import (
	"context"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// loop is a copy of a prefix as programs keep it by hand: a list, then a watch from the next
// revision, into a map under a mutex.
type loop struct {
	mu   sync.RWMutex
	kvs  map[string]*mvccpb.KeyValue
	done chan struct{}
}

// startLoop reads the keys and returns the copy. A goroutine applies later changes to the copy
// until ctx ends, and then closes done.
func startLoop(ctx context.Context, client *clientv3.Client, prefix string) (*loop, error) {
	resp, err := client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	l := &loop{kvs: make(map[string]*mvccpb.KeyValue, len(resp.Kvs)), done: make(chan struct{})}
	for _, kv := range resp.Kvs {
		l.kvs[string(kv.Key)] = kv
	}
	changes := client.Watch(ctx, prefix, clientv3.WithPrefix(),
		clientv3.WithRev(resp.Header.Revision+1))
	// Ends with ctx, which closes the channel; the caller waits for done.
	go func() {
		defer close(l.done)
		for resp := range changes {
			l.apply(resp.Events)
		}
	}()
	return l, nil
}

func (l *loop) apply(events []*clientv3.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if e.Type == clientv3.EventTypeDelete {
			delete(l.kvs, string(e.Kv.Key))
		} else {
			l.kvs[string(e.Kv.Key)] = e.Kv
		}
	}
}

func (l *loop) get(key string) *mvccpb.KeyValue {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.kvs[key]
}

// list returns all pairs, in no order.
func (l *loop) list() []*mvccpb.KeyValue {
	l.mu.RLock()
	defer l.mu.RUnlock()
	kvs := make([]*mvccpb.KeyValue, 0, len(l.kvs))
	for _, kv := range l.kvs {
		kvs = append(kvs, kv)
	}
	return kvs
}
