package leasing

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

const (
	// maxRefresh is how many keys of ours are read back in the transaction that
	// writes them. Others are given up instead.
	maxRefresh = 32
	// maxClaims is how many lease keys a write looks at in a range at a time.
	maxClaims = 1000
	// maxBatch is how many owners are asked by one request.
	maxBatch = 32
	// maxHaste is how often a write is tried again at once when its owners have
	// given up their keys.
	maxHaste = 16
)

func (l *leasing) put(ctx context.Context, op clientv3.Op) (*clientv3.PutResponse, error) {
	if err := refusal(l.prefix, op); err != nil {
		return nil, err
	}
	resp, err := l.write(ctx, op)
	if err != nil {
		return nil, err
	}
	put, err := txnanswer.Put(resp.Responses, 0)
	if err != nil {
		return nil, err
	}
	put.Header = resp.Header
	return (*clientv3.PutResponse)(put), nil
}

func (l *leasing) delete(ctx context.Context, op clientv3.Op) (*clientv3.DeleteResponse, error) {
	if err := refusal(l.prefix, op); err != nil {
		return nil, err
	}
	resp, err := l.write(ctx, op)
	if err != nil {
		return nil, err
	}
	del, err := txnanswer.Delete(resp.Responses, 0)
	if err != nil {
		return nil, err
	}
	del.Header = resp.Header
	return (*clientv3.DeleteResponse)(del), nil
}

func (l *leasing) txn(ctx context.Context, op clientv3.Op) (*clientv3.TxnResponse, error) {
	if err := refusal(l.prefix, op); err != nil {
		return nil, err
	}
	if ctx.Err() == nil {
		if resp := l.table.recall(op); resp != nil {
			return resp, nil
		}
	}
	if w := writesOf(l.prefix, op); w.none() {
		resp, err := l.kv.Do(ctx, op)
		return resp.Txn(), bareContextError(err)
	}
	resp, err := l.write(ctx, op)
	if err != nil {
		return nil, err
	}
	txn, err := txnanswer.Txn(resp.Responses, 0)
	if err != nil {
		return nil, err
	}
	txn.Header = resp.Header
	return (*clientv3.TxnResponse)(txn), nil
}

// write runs an op that writes, once nobody else owns what it may write. The result
// is that of a transaction whose first op it was.
func (l *leasing) write(ctx context.Context, op clientv3.Op) (*clientv3.TxnResponse, error) {
	w := writesOf(l.prefix, op)
	defer l.table.bar(w.ranges)()
	for attempt, waits := 0, 0; ; attempt++ {
		resp, err := l.tryWrite(ctx, op, w)
		switch {
		case err != nil:
			return nil, bareContextError(err)
		case resp.Succeeded:
			return resp, nil
		}
		cleared, err := l.clear(ctx, resp, w)
		if err == nil && (!cleared || attempt >= maxHaste) {
			err = backoff.Wait(ctx, repeatBackoff.Delay(waits))
			waits++
		}
		if err != nil {
			return nil, bareContextError(err)
		}
	}
}

// tryWrite runs an op on the condition that nobody else owns what it may write. Where
// somebody does, Succeeded is false, nothing was written, and the responses are the
// lease keys that there are: those of w.keys and of w.ranges.
func (l *leasing) tryWrite(
	ctx context.Context, op clientv3.Op, w writes,
) (*clientv3.TxnResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	own, changes := l.table.beginWrite(w)
	for len(changes) > 0 {
		for _, change := range changes {
			if err := wait(ctx, change); err != nil {
				return nil, err
			}
		}
		own, changes = l.table.beginWrite(w)
	}
	resp, err := l.kv.Txn(ctx).
		If(l.guards(w, own)...).
		Then(append([]clientv3.Op{op}, readBack(own)...)...).
		Else(l.claims(w)...).
		Commit()
	l.table.endWrite(own, l.outcome(own, resp, err))
	if err == nil && !resp.Succeeded {
		l.leaveLost(own, w, resp)
	}
	return resp, err
}

// guards are the conditions that nobody else owns what is written. A key of ours must
// still be ours, by the same lease key: what is kept of it may be out of date
// otherwise, and a request that is applied late must not change it.
func (l *leasing) guards(w writes, own []*tenancy) []clientv3.Cmp {
	created := make(map[string]int64, len(own))
	for _, t := range own {
		created[t.key] = t.created
	}
	cmps := make([]clientv3.Cmp, 0, len(w.keys)+len(w.ranges))
	for _, key := range w.keys {
		cmps = append(cmps, exists(l.prefix+key, created[key]))
	}
	for _, r := range w.ranges {
		cmps = append(cmps, exists(r.start, 0).WithRange(r.end))
	}
	return cmps
}

// claims are the gets that tell who owns what is written.
func (l *leasing) claims(w writes) []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(w.keys)+len(w.ranges))
	for i := range cap(ops) {
		r := w.leaseKeys(l.prefix, i)
		ops = append(ops, clientv3.OpGet(r.start, clientv3.WithRange(r.end),
			clientv3.WithLimit(maxClaims)))
	}
	return ops
}

// readBack are the gets that tell what keys of ours are after the write. They get
// values too: servers leave the lease out of what they tell of keys only.
func readBack(own []*tenancy) []clientv3.Op {
	var ops []clientv3.Op
	for _, t := range own[:min(len(own), maxRefresh)] {
		ops = append(ops, clientv3.OpGet(t.key))
	}
	return ops
}

// outcome returns what keys of ours are after a write, for endWrite.
func (l *leasing) outcome(own []*tenancy, resp *clientv3.TxnResponse, err error) []*kept {
	switch {
	case err != nil && classify.IsRefusal(err), err == nil && !resp.Succeeded:
		return nil
	case err != nil:
		return make([]*kept, len(own))
	}
	l.table.latest.saw(resp.Header)
	now := make([]*kept, len(own))
	for i := range own {
		read, _ := txnanswer.Range(resp.Responses, i+1) // nil if the answer lacks it
		if k := newKept(read, resp.Header.GetRevision()); k.isKeepable() {
			now[i] = k
		}
	}
	return now
}
