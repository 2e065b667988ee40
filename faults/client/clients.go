package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// askEvery is how often each of the many clients reads.
const askEvery = time.Second

// startClients makes the plan's many clients. Each opens a watch and reads a key every second.
func (l *load) startClients(ctx context.Context) error {
	l.record.Served = make([]int64, l.plan.Clients)
	for i := range l.plan.Clients {
		client, err := connect(l.plan, l.plan.Endpoints)
		if err != nil {
			return err
		}
		if _, err := client.Get(ctx, loadKey(i)); err != nil {
			return fmt.Errorf("client %d: %w", i, err)
		}
		events := client.Watch(l.streams, record.LoadPrefix, clientv3.WithPrefix())
		// Ends when l.streams ends; the method end waits for it.
		l.streamsEnded.Go(func() {
			for range events {
			}
		})
		// The goroutine ends when the context l.calls ends. The method stop waits for it.
		l.callsEnded.Go(func() { l.ask(client, i) })
	}
	return nil
}

// ask reads every second. In the record's Served it keeps the time of the first successful read
// since the last failed one, or zero if the last read failed.
func (l *load) ask(client *clientv3.Client, i int) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	failed := true
	for l.calls.Err() == nil {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		_, err := client.Get(ctx, loadKey(i))
		cancel()
		l.note(false, err)
		switch {
		case err != nil:
			l.record.Served[i] = 0
		case failed:
			l.record.Served[i] = time.Now().UnixNano()
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-l.calls.Done():
		}
	}
	_ = client.Close()
}
