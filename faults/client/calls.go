package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// Pauses between the calls of a caller. With them, both compared clients have the same work to do,
// however quick they are.
const (
	readPause     = 5 * time.Millisecond
	writePause    = 10 * time.Millisecond
	bulkPause     = 100 * time.Millisecond
	registerPause = 20 * time.Millisecond
)

const (
	loadKeys     = 8
	registerKeys = 3
	bulkSize     = 64 << 10
	// A writer deletes its key after every deleteEvery-1 puts.
	deleteEvery = 8
)

// startCallers starts the plan's readers, writers and other callers. They run until the load stops.
func (l *load) startCallers(context.Context) error {
	for i := range l.plan.Readers {
		l.repeat(readPause, func(ctx context.Context, n int) { l.read(ctx, i+n) })
	}
	for i := range l.plan.Writers {
		l.repeat(writePause, func(ctx context.Context, n int) { l.write(ctx, i, n) })
	}
	if l.plan.Bulk {
		l.repeat(bulkPause, func(ctx context.Context, _ int) {
			l.put(ctx, record.LoadPrefix+"bulk", strings.Repeat("x", bulkSize))
		})
	}
	for i := range l.plan.Registers {
		l.repeat(registerPause, func(ctx context.Context, n int) { l.operate(ctx, i, n) })
	}
	for range l.plan.Granters {
		l.repeat(writePause, func(ctx context.Context, _ int) { l.grant(ctx) })
	}
	return nil
}

// repeat starts a goroutine that runs call again and again until the load stops. Each run gets a
// new context with a timeout, and the number of earlier runs.
func (l *load) repeat(pause time.Duration, call func(context.Context, int)) {
	// The goroutine ends when the context l.calls ends. The method stop waits for the goroutine.
	l.callsEnded.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for n := 0; l.calls.Err() == nil; n++ {
			ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
			call(ctx, n)
			cancel()
			select {
			case <-tick.C:
			case <-l.calls.Done():
			}
		}
	})
}

func loadKey(i int) string { return fmt.Sprint(record.LoadPrefix, i%loadKeys) }

func (l *load) read(ctx context.Context, i int) {
	_, err := l.client.Get(ctx, loadKey(i))
	l.note(false, err)
}

// write puts a value with an id to a key of the writer, or deletes the key.
func (l *load) write(ctx context.Context, writer, n int) {
	key := loadKey(writer)
	if n%deleteEvery == deleteEvery-1 {
		_, err := l.client.Delete(ctx, key)
		l.note(true, err)
		return
	}
	l.put(ctx, key, "")
}

// put puts a value that consists of a new id, a colon and the text more.
func (l *load) put(ctx context.Context, key, more string) {
	id := l.newID()
	value := fmt.Sprint(id, ":", more)
	_, err := l.client.Put(ctx, key, value)
	l.noteID(id, err)
	if l.plan.Broken == "write" && id%100 == 0 {
		_, _ = l.client.Put(ctx, key, value)
	}
}

// operate does a get, a put or a compare-and-swap of one of the register keys.
func (l *load) operate(ctx context.Context, worker, n int) {
	op := record.Op{Worker: worker, Start: time.Now().UnixNano(),
		Key: fmt.Sprint(record.RegisterPrefix, (worker+n)%registerKeys)}
	var err error
	switch n % 3 {
	case 0:
		op.Kind, op.Value = "put", fmt.Sprint(l.newID(), ":")
		_, err = l.client.Put(ctx, op.Key, op.Value)
	case 1:
		op.Kind = "get"
		op.Seen, err = l.see(ctx, op.Key)
	case 2:
		op.Kind, op.Value = "swap", fmt.Sprint(l.newID(), ":")
		if op.Old, err = l.see(ctx, op.Key); err != nil || op.Old == "" {
			return
		}
		op.Start = time.Now().UnixNano()
		var resp *clientv3.TxnResponse
		resp, err = l.client.Txn(ctx).
			If(clientv3.Compare(clientv3.Value(op.Key), "=", op.Old)).
			Then(clientv3.OpPut(op.Key, op.Value)).Commit()
		op.Done = err == nil && resp.Succeeded
	}
	op.End, op.Unknown = time.Now().UnixNano(), err != nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record.Ops = append(l.record.Ops, op)
}

// see returns the value of a register, "" if it does not exist.
func (l *load) see(ctx context.Context, key string) (string, error) {
	resp, err := l.client.Get(ctx, key)
	if err != nil || len(resp.Kvs) == 0 {
		return "", err
	}
	return string(resp.Kvs[0].Value), nil
}
