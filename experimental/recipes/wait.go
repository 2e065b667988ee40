package recipe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// setbackBackoff spaces looks that follow no event.
var setbackBackoff = backoff.Policy{Base: 50 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// raceBackoff spaces tries that others were ahead of.
var raceBackoff = backoff.Policy{Base: time.Millisecond, Max: 100 * time.Millisecond, Jitter: 1}

// change is what somebody waits for: an event of a type on a key, or on those with a
// prefix, from a revision on.
type change struct {
	key    string
	prefix bool
	typ    mvccpb.Event_EventType
	from   int64
}

// await calls look until it returns no change to wait for, or an error that does not
// pass. In between it waits for the change. Events only tell when to look.
func await(
	ctx context.Context, client *clientv3.Client, look func(context.Context) (*change, error),
) error {
	for setbacks := 0; ; {
		next, err := look(ctx)
		switch {
		case err == nil && next == nil:
			return nil
		case err == nil && next.seen(ctx, client):
			setbacks = 0
			continue
		case err != nil && (final(err) || classify.IsHalt(ctx, err)):
			return err
		}
		if err := backoff.Wait(ctx, setbackBackoff.Delay(setbacks)); err != nil {
			return err
		}
		setbacks++
	}
}

// final tells whether an error is a recipe's own answer.
func final(err error) bool {
	return errors.Is(err, concurrency.ErrSessionExpired) || errors.Is(err, ErrTooManyClients) ||
		errors.Is(err, errMalformed)
}

// errMalformed is for servers that do not answer what they were asked.
var errMalformed = errors.New("recipe: the server's answer is not one to the request")

// read makes gets in one transaction and returns what each found.
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

// rangesOf takes the answers to n gets out of a response.
func rangesOf(parts []*pb.ResponseOp, n int) (found [][]*mvccpb.KeyValue, err error) {
	if len(parts) != n {
		return nil, errMalformed
	}
	for _, part := range parts {
		answer := part.GetResponseRange()
		if answer == nil || slices.Contains(answer.Kvs, nil) {
			return nil, errMalformed
		}
		found = append(found, answer.Kvs)
	}
	return found, nil
}

// seen waits for the change. It reports false where the watch ended before.
func (c *change) seen(ctx context.Context, client *clientv3.Client) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	opts := []clientv3.OpOption{clientv3.WithRev(c.from)}
	if c.prefix {
		opts = append(opts, clientv3.WithPrefix())
	}
	if c.typ == mvccpb.Event_PUT {
		opts = append(opts, clientv3.WithFilterDelete())
	} else {
		opts = append(opts, clientv3.WithFilterPut())
	}
	for resp := range client.Watch(ctx, c.key, opts...) {
		for _, ev := range resp.Events {
			if ev.Type == c.typ {
				return true
			}
		}
	}
	return false
}

// WaitEvents waits for events of a key, from revision rev on and in the order of evs,
// whatever else happens in between, and returns the last of them. Errors:
// [ErrWaitMismatch] where evs is empty; [ErrNoWatcher] where the client is closed; that
// of the watch where it ends otherwise, such as rpctypes.ErrCompacted.
func WaitEvents(
	c *clientv3.Client, key string, rev int64, evs []mvccpb.Event_EventType,
) (*clientv3.Event, error) {
	return waitEvents(c, key, evs, clientv3.WithRev(rev))
}

// WaitPrefixEvents is [WaitEvents] for all keys with a prefix.
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

// uniqueName is a name nobody else uses. Names from one program sort by time.
func uniqueName() string {
	//nolint:forbidigo // part of a name, no deadline
	return fmt.Sprintf("%d%08x", time.Now().UnixNano(), rand.Uint32())
}
