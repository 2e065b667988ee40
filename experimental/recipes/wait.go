package recipe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// raceBackoff is the wait of a client whose transaction has failed because another client has
// changed the keys first. After the wait the client tries again.
var raceBackoff = backoff.Policy{Base: time.Millisecond, Max: 100 * time.Millisecond, Jitter: 1}

// waitUntil blocks until some keys are in the state that its caller waits for. The function look
// reads these keys. In that state, look returns a nil Change. Otherwise it returns a Change that
// blocks until the keys have changed.
//
// waitUntil returns an error if ctx ends, or if another attempt cannot clear an error of look.
func waitUntil(
	ctx context.Context, look func(context.Context) (await.Change, error),
) error {
	return await.Loop(ctx, nil, look, func(err error) bool {
		return errors.Is(err, concurrency.ErrSessionExpired) ||
			errors.Is(err, ErrTooManyClients) || errors.Is(err, txnanswer.ErrMalformed) ||
			classify.IsHalt(ctx, err)
	})
}

// read runs the operations in the parameter gets, in one transaction. It returns the keys that each
// of them has found, and the revision of the store.
func read(
	ctx context.Context, client *clientv3.Client, gets ...clientv3.Op,
) (found [][]*mvccpb.KeyValue, rev int64, err error) {
	resp, err := client.Txn(ctx).Then(gets...).Commit()
	if err != nil {
		return nil, 0, err
	}
	found, err = rangesOf(resp.Responses, len(gets))
	return found, resp.Header.GetRevision(), err
}

// rangesOf returns, for each of n gets, the keys in the response to this get.
func rangesOf(parts []*pb.ResponseOp, n int) (found [][]*mvccpb.KeyValue, err error) {
	if err := txnanswer.CheckCount(parts, n); err != nil {
		return nil, err
	}
	for i := range parts {
		kvs, err := txnanswer.Pairs(parts, i)
		if err != nil {
			return nil, err
		}
		found = append(found, kvs)
	}
	return found, nil
}

// changeOf returns a function that waits for an event of a key after the revision rev. The function
// returns true after an event, and false if its watch ends first. The options may widen the watch
// to many keys, and filter events.
func changeOf(
	client *clientv3.Client, key string, rev int64, opts ...clientv3.OpOption,
) await.Change {
	return func(ctx context.Context) bool {
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		defer cancel()
		for resp := range client.Watch(ctx, key, append(opts, clientv3.WithRev(rev+1))...) {
			if len(resp.Events) > 0 {
				return true
			}
		}
		return false
	}
}

// WaitEvents waits for events of a key at revision rev or later. It returns when it has seen an
// event of each type in evs, in the order of evs. Other events may come in between. It returns the
// event that matches the last type. Errors:
//
//   - [ErrWaitMismatch] if evs is empty
//   - [ErrNoWatcher] if the client is closed
//   - the error of the watch if the watch ends otherwise, such as rpctypes.ErrCompacted
func WaitEvents(
	c *clientv3.Client, key string, rev int64, evs []mvccpb.Event_EventType,
) (*clientv3.Event, error) {
	return waitEvents(c, key, evs, clientv3.WithRev(rev))
}

// WaitPrefixEvents is [WaitEvents] for all keys that begin with a prefix.
func WaitPrefixEvents(
	c *clientv3.Client, prefix string, rev int64, evs []mvccpb.Event_EventType,
) (*clientv3.Event, error) {
	return waitEvents(c, prefix, evs, clientv3.WithRev(rev), clientv3.WithPrefix())
}

func waitEvents(
	c *clientv3.Client, key string, evs []mvccpb.Event_EventType, opts ...clientv3.OpOption,
) (*clientv3.Event, error) {
	if len(evs) == 0 {
		return nil, ErrWaitMismatch
	}
	ctx, cancel := context.WithCancel(c.Ctx())
	defer cancel()
	for resp := range c.Watch(ctx, key, opts...) {
		for _, ev := range resp.Events {
			if ev.Type != evs[0] {
				continue
			}
			if evs = evs[1:]; len(evs) == 0 {
				return ev, nil
			}
		}
		if err := resp.Err(); err != nil && c.Ctx().Err() == nil {
			return nil, err
		}
	}
	return nil, ErrNoWatcher
}

// uniqueName returns a name that no other put uses. The names begin with the current time, so the
// names of one program are sorted by the time at which they were made.
func uniqueName() string {
	//nolint:forbidigo // the time is part of a name, not of a deadline
	return fmt.Sprintf("%d%08x", time.Now().UnixNano(), rand.Uint32())
}
