package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// This is the wait after a failure, before the watch is opened another time, or a page of a list
// (read of the whole range) is read another time.
var again = backoff.Policy{Base: 50 * time.Millisecond, Max: 3 * time.Second, Jitter: 0.5}

// confirmTimeout is how long the server may take to confirm a watch. After that the cache opens
// another, which may be at another member, and which has more time.
var confirmTimeout = backoff.Policy{Base: 15 * time.Second, Max: 2 * time.Minute}

// errUnconfirmed is the reason why the cache ends a watch that the server has not confirmed. The
// cache then opens another watch.
var errUnconfirmed = errors.New("the watch was not confirmed")

// errListAgain is the reason why the cache ends its own watch: the range has to be listed (read as
// a whole), which begins with a new watch.
var errListAgain = errors.New("the range has to be listed")

// start starts the goroutines of the cache.
func (c *Cache) start() {
	// The goroutines end with c.ctx. Close waits for them.
	c.tasks.Go(c.follow)
	c.tasks.Go(c.askForProgress)
	c.tasks.Go(c.auditNowAndThen)
}

// follow keeps the copy up to date until the cache ends. It opens one watch after another.
func (c *Cache) follow() {
	defer c.end(ErrClosed)
	f := &follower{c: c}
	defer f.stopList()
	for attempt := 0; c.ctx.Err() == nil; attempt++ {
		before := f.passed()
		err := f.watch()
		switch {
		case c.ctx.Err() != nil:
			return
		case isRefusal(err), errors.Is(err, ErrTooLarge):
			c.fail(err)
			return
		}
		if errors.Is(err, rpctypes.ErrNoLeader) {
			c.publish(func(next *view) { next.leaderLosses++ })
		}
		if f.passed() != before {
			attempt = 0
		}
		c.wait("the watch to be opened again after: %v", err)
		c.log.Info("cache opens its watch again", zap.Stringer("range", &c.opts), zap.Error(err))
		if backoff.Wait(c.ctx, again.Delay(attempt)) != nil {
			return
		}
	}
}

// isRefusal reports whether the server has denied permission for a request of the cache. Such a
// request is not repeated, because the server would deny it again.
func isRefusal(err error) bool {
	return errors.Is(err, rpctypes.ErrPermissionDenied) ||
		status.Code(err) == codes.PermissionDenied
}

// follower is the state of the goroutine that runs follow. No other goroutine uses it.
type follower struct {
	c *Cache

	listed int64 // the revision of the newest list (read of the whole range)
	// late has the late events; nil if there are none. An event of revision r is late if
	// Cache.prove had set the revision of the view to r or higher before the watch delivered the
	// event.
	late *lateChanges

	// the watch that is open
	ctx    context.Context // ends when this watch is to end; context.Cause(ctx) says why
	stop   context.CancelCauseFunc
	events clientv3.WatchChan
	// unconfirmed is how many watches in a row the server has not confirmed.
	unconfirmed int

	// The list (read of the whole range) that is under way. It goes on when the watch fails and is
	// opened again. All fields are zero if there is no list.
	fill     *fill.Fill
	stopPage context.CancelFunc // stops the goroutine that reads pages; nil if there is none
	pages    <-chan answer      // what that goroutine has read
	// overdue fires long after the last page was read, if the watch has not caught up with the
	// pages by then. The watch is then opened again. overdue is nil while there are pages to be
	// read.
	overdue <-chan time.Time
	stalls  int // how often overdue has received a time
	origin  origin
}

// passed returns the revision up to which the watch has delivered all events.
func (f *follower) passed() int64 {
	switch {
	case f.fill != nil:
		return f.fill.Passed()
	case f.late != nil:
		return f.late.last
	}
	return f.c.now().logged
}

// watch opens a watch, lists the range (reads all of it) if that is necessary, and takes the
// responses of the watch until the watch ends. It returns why the watch ended.
func (f *follower) watch() error {
	c := f.c
	ctx, stop := context.WithCancelCause(c.watchCtx)
	defer stop(nil)
	c.mu.Lock()
	c.interrupt = stop
	list := c.list
	c.mu.Unlock()
	f.ctx, f.stop = ctx, stop
	if list.wanted && !list.begun {
		f.stopList()
	}
	if err := f.open(list); err != nil {
		return err
	}
	c.wait("")
	if f.fill != nil {
		c.wait("the keys to be listed")
	}
	c.mu.Lock()
	// Unanswered requests for progress were sent on the stream of the previous watch, so they do
	// not show that the server is silent on the new one.
	c.silence = silence{}
	c.mu.Unlock()
	c.wake()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case resp, ok := <-f.events:
			if !ok {
				return errors.New("the watch ended without a reason")
			}
			if err := f.response(&resp); err != nil {
				return err
			}
		case <-f.overdue:
			f.stalls++
			f.overdue = time.NewTimer(stalledFor.Delay(f.stalls)).C
			return errStalled
		case page := <-f.pages:
			if err := f.page(page); err != nil {
				return err
			}
		}
	}
}

// open creates the watch and waits for its confirmation. If the range has to be listed (read as a
// whole) and no list is under way, the watch starts from now, and open begins the list. In all
// other cases the watch goes on after the last revision whose events have been delivered.
func (f *follower) open(list listing) error {
	c := f.c
	begin := list.wanted && !list.begun
	opts := []clientv3.OpOption{clientv3.WithRange(c.opts.end), clientv3.WithCreatedNotify()}
	if !begin {
		opts = append(opts, clientv3.WithRev(f.passed()+1))
	}
	c.wait("a watch to be opened")
	stop := f.stop
	late := time.AfterFunc(confirmTimeout.Delay(f.unconfirmed), func() { stop(errUnconfirmed) })
	defer late.Stop()
	f.events = c.client.Watch(f.ctx, c.opts.from, opts...)
	var resp clientv3.WatchResponse
	select {
	case <-f.ctx.Done():
	case resp = <-f.events:
	}
	switch err := f.ended(&resp); {
	case f.ctx.Err() != nil:
		err := context.Cause(f.ctx)
		if errors.Is(err, errUnconfirmed) {
			f.unconfirmed++
		}
		return err
	case err != nil:
		return err
	case resp.Header == nil || !resp.Created:
		return errUnconfirmed
	}
	f.unconfirmed = 0
	if begin {
		return f.startList(list, resp.Header)
	}
	return f.sameCluster(resp.Header)
}

// ended returns the error with which a response ends the watch, or nil if the watch goes on. If the
// next events of the watch were compacted, ended demands another list (read of the whole range).
func (f *follower) ended(resp *clientv3.WatchResponse) error {
	// The client resumes an interrupted watch after its last event. So a compaction may end the
	// watch although notices of progress have shown that there was nothing to miss: the compacted
	// revisions have no events in the range. Then the watch is only opened again, from a later
	// revision.
	if resp.CompactRevision > f.passed()+1 {
		f.c.startOver(fmt.Sprintf("the history up to revision %d was compacted while the watch "+
			"was interrupted", resp.CompactRevision))
	}
	return resp.Err()
}

// sameCluster returns nil if a response header comes from the cluster that the copy was read from,
// or has no cluster id. Otherwise it demands another list (read of the whole range), and returns
// errListAgain.
func (f *follower) sameCluster(header *pb.ResponseHeader) error {
	c := f.c
	known := f.origin
	if f.fill == nil {
		known = c.now().origin
	}
	if !otherCluster(known, header) {
		return nil
	}
	c.replaced(c.now(), "the cluster was replaced")
	return errListAgain
}

// response takes one response of the watch. It applies the events to the newest view. While a list
// (read of the whole range) is under way, it adds them to the state that the list is building
// instead.
func (f *follower) response(resp *clientv3.WatchResponse) error {
	if err := f.ended(resp); err != nil {
		return err
	}
	if err := f.sameCluster(resp.Header); err != nil {
		return err
	}
	notice := resp.IsProgressNotify() && f.c.trusts(resp)
	if f.fill == nil {
		return f.apply(resp, notice)
	}
	for _, ev := range resp.Events {
		f.fill.Event(f.c.keepEvent(ev, len(resp.Events) > 1))
		f.fill.Pass(ev.Kv.ModRevision)
	}
	if notice {
		f.fill.Pass(resp.Header.Revision)
		f.c.noticed()
	}
	return f.finish()
}
