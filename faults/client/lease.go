package main

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// grantTTL is the TTL, in seconds, of leases that nothing keeps alive. It is longer than a run.
const grantTTL = 600

// startLeases grants the plan's leases and keeps them alive until the record is taken.
func (l *load) startLeases(ctx context.Context) error {
	l.record.Leases = make([]record.Lease, l.plan.Leases)
	for i := range l.record.Leases {
		resp, err := l.client.Grant(ctx, l.plan.TTL)
		if err != nil {
			return fmt.Errorf("lease %d: %w", i, err)
		}
		renewed, err := l.client.KeepAlive(l.streams, resp.ID)
		if err != nil {
			return fmt.Errorf("keep lease %d: %w", i, err)
		}
		lease := &l.record.Leases[i]
		lease.ID = int64(resp.ID)
		// The goroutine ends when the channel renewed is closed, at the latest when the context
		// l.streams ends. The method end waits for the goroutine.
		l.streamsEnded.Go(func() {
			for range renewed {
			}
			if l.streams.Err() == nil {
				lease.Closed = time.Now().UnixNano()
			}
		})
	}
	return nil
}

// grant grants one lease.
func (l *load) grant(ctx context.Context) {
	resp, err := l.client.Grant(ctx, grantTTL)
	l.note(true, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record.Grants++
	if err == nil {
		l.record.Granted = append(l.record.Granted, int64(resp.ID))
	}
}
