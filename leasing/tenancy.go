package leasing

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// requestTimeout bounds each attempt of a request that no caller's context bounds,
// so that a silent member does not hold it up for long.
const requestTimeout = 2 * time.Second

// repeatBackoff spaces requests and watches that are repeated until they succeed.
var repeatBackoff = backoff.Policy{Base: 20 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// acquire starts a tenancy of a key and blocks until it is settled. It returns nil
// where the key is not to be acquired.
func (l *leasing) acquire(ctx context.Context, key string) (*tenancy, error) {
	t := l.table.begin(key)
	if t == nil {
		return nil, nil
	}
	// Ends when the tenancy has left, or with its term, which stop ends; stop waits.
	go func() {
		defer l.table.tenants.Done()
		l.enter(t)
		l.stay(t)
		l.leave(t)
	}()
	return t, wait(ctx, t.settled)
}

// evictStray has a lease key deleted that is ours without a tenancy. It returns the
// tenancy to wait for, which may be one that the key has after all; nil if the
// term has ended.
func (l *leasing) evictStray(key string) *tenancy {
	t, made := l.table.beginLeaving(key)
	if made {
		// Ends when the lease key is gone, or with its term, which stop ends; stop waits.
		go func() {
			defer l.table.tenants.Done()
			l.leave(t)
		}()
	}
	return t
}

// wait blocks until ch is closed, or returns the error of ctx if that ends first.
func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter asks for the lease key of a new tenancy. It gets it unless somebody has
// it, or the server may delete the key because that is attached to a lease.
func (l *leasing) enter(t *tenancy) {
	leaseKey := l.prefix + t.key
	ctx, cancel := context.WithTimeout(t.term.ctx, requestTimeout)
	defer cancel()
	resp, err := l.kv.Txn(ctx).
		If(exists(leaseKey, 0), clientv3.Compare(clientv3.LeaseValue(t.key), "=", 0)).
		Then(clientv3.OpGet(t.key), clientv3.OpPut(leaseKey, "", clientv3.WithLease(t.term.lease))).
		Else(clientv3.OpGet(t.key), clientv3.OpGet(leaseKey)).
		Commit()
	if err != nil {
		l.table.refused(t, 0, !classify.IsRefusal(err), nil)
		return
	}
	l.table.latest.saw(resp.Header)
	rev := resp.Header.GetRevision()
	found, _ := txnanswer.Range(resp.Responses, 0) // nil if the answer lacks it
	read := newKept(found, rev)
	switch {
	case resp.Succeeded && read.isKeepable():
		l.table.acquired(t, rev, read)
	case resp.Succeeded: // the server's answer does not make sense
		l.table.refused(t, rev, false, read)
	default:
		l.table.refused(t, t.term.owned(firstIn(resp, 1)), false, read)
	}
}

// stay blocks for as long as a tenancy is held: until its lease key is wanted by
// somebody else or gone, until it is to leave, until its term ends, or until the server
// refuses to tell any of that.
//
// Members without a leader do not tell what is wanted, so the watch requires one.
func (l *leasing) stay(t *tenancy) {
	defer l.table.leave(t)
	leaseKey := l.prefix + t.key
	next := t.created + 1
	for attempt := 0; t.ctx.Err() == nil; attempt++ {
		wanted, err := l.watchWanted(t.ctx, leaseKey, next)
		isCompacted := errors.Is(err, rpctypes.ErrCompacted)
		if wanted || !isCompacted && classify.IsRefusal(err) ||
			backoff.Wait(t.ctx, repeatBackoff.Delay(attempt)) != nil {
			return
		}
		if !isCompacted {
			continue // nothing was missed: it goes on with the same revision
		}
		now, rev, err := l.readKey(t.ctx, leaseKey)
		switch {
		case classify.IsRefusal(err):
			return
		case err != nil:
		case now.GetCreateRevision() != t.created || string(now.GetValue()) == rescindValue:
			return
		default:
			next = rev + 1
		}
	}
}

// watchWanted blocks until a lease key is wanted or gone. Where the watch ends
// before that it returns false, and why.
func (l *leasing) watchWanted(
	ctx context.Context, leaseKey string, rev int64,
) (wanted bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range l.watcher.Watch(ctx, leaseKey, clientv3.WithRev(rev)) {
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypeDelete || string(ev.Kv.GetValue()) == rescindValue {
				return true, nil
			}
		}
		err = resp.Err()
	}
	return false, err
}

// leave deletes the lease key of a tenancy, as far as it is ours, and then ends the
// tenancy. It goes on until that is certain or the term ends.
func (l *leasing) leave(t *tenancy) {
	defer l.table.finish(t)
	for attempt := 0; !l.release(t); attempt++ {
		if backoff.Wait(t.term.ctx, repeatBackoff.Delay(attempt)) != nil {
			return
		}
	}
}

// release reports whether the lease key of a tenancy is certain not to be ours any
// more. What it deletes is guarded by its create revision, so that a request that
// is applied late does no harm to a later tenancy.
func (l *leasing) release(t *tenancy) bool {
	leaseKey, created := l.prefix+t.key, t.created
	ctx, cancel := context.WithTimeout(t.term.ctx, requestTimeout)
	defer cancel()
	if t.isUnclear {
		kv, _, err := l.readKey(ctx, leaseKey)
		if err != nil {
			return false
		}
		created = t.term.owned(kv)
	}
	if created == 0 {
		return true
	}
	_, err := l.kv.Txn(ctx).If(exists(leaseKey, created)).Then(clientv3.OpDelete(leaseKey)).Commit()
	return err == nil
}

// readKey returns a key, nil if there is none, and the revision it was read at.
func (l *leasing) readKey(ctx context.Context, key string) (*mvccpb.KeyValue, int64, error) {
	resp, err := l.kv.Get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	return first(resp.Kvs), resp.Header.GetRevision(), nil
}
