package cache

import (
	"context"
	"fmt"
	"time"
)

// Fresh returns a snapshot that contains every write that was acknowledged, to any client, before
// the last maxAge. With a maxAge of 0 or less, it contains every write acknowledged before the
// call, as a linearizable read does. A maxAge is measured by the monotonic clock. On Linux that
// clock stands still while the machine is suspended, and a state may be older by as much right
// after it.
//
// If that is not proven yet, Fresh waits for the answer to a question: a linearizable read of one
// key's count, which all caches and readers of a client share, and which costs one request however
// many readers wait. Then it waits until the snapshot has reached the answer's revision. With a
// maxAge above 0, a question is asked every maxAge/2 as long as Fresh is called, so that readers
// who come often do not wait.
//
// Fresh also waits until the range has been read for the first time. Failed questions are asked
// again. It returns an error if the cache ends, or if ctx ends first: then that of ctx, joined with
// what was waited for.
func (c *Cache) Fresh(ctx context.Context, maxAge time.Duration) (Snapshot, error) {
	v, err := c.fresh(ctx, max(maxAge, 0))
	if err != nil {
		return Snapshot{}, err
	}
	return Snapshot{view: v}, nil
}

// fresh returns a view that was proven within the last maxAge, and asks ahead of time for the next
// reader.
func (c *Cache) fresh(ctx context.Context, maxAge time.Duration) (*view, error) {
	now := time.Now()
	v := c.now()
	if v.err == nil && v.synced() && maxAge > 0 && !v.provenAt.Before(now.Add(-maxAge)) {
		if half := now.Add(-maxAge / 2); v.provenAt.Before(half) {
			c.asker.join(c, half)
		}
		return v, nil
	}
	return c.provenSince(ctx, now.Add(-maxAge))
}

// provenSince waits for a view that a question proves which was sent after a moment.
func (c *Cache) provenSince(ctx context.Context, after time.Time) (*view, error) {
	_, err := c.await(ctx, (*view).synced)
	failure := error(nil)
	for err == nil {
		r := c.asker.join(c, after)
		select {
		case <-ctx.Done():
			err = c.unanswered(ctx, failure)
		case <-c.ctx.Done():
			// until the cache has its error
			_, err = c.await(ctx, func(*view) bool { return false })
		case <-r.done:
			if failure = r.err; failure != nil {
				continue
			}
			c.counts.shared.Add(1)
			v, err := c.await(ctx, r.answers[c].takenBy)
			if err != nil || v.era == r.answers[c].era {
				return v, err
			}
		}
	}
	return nil, err
}

// unanswered returns the error of a reader whose ctx ended while it waited for a question. failure
// is why the one before failed, or nil.
func (c *Cache) unanswered(ctx context.Context, failure error) error {
	err := fmt.Errorf("cache of %s: a linearizable read to be answered: %w", &c.opts, ctx.Err())
	if failure != nil {
		err = fmt.Errorf("%w (the one before: %w)", err, failure)
	}
	return err
}
