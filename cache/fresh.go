package cache

import (
	"context"
	"fmt"
	"time"
)

// Fresh returns a snapshot that contains every write acknowledged more than maxAge ago, by any
// client. With a maxAge of 0 or less, it contains every write acknowledged before the call, as the
// answer to a linearizable read does. maxAge is measured by the monotonic clock. On Linux that
// clock stops while the machine is suspended. So right after a suspension, a snapshot may be older
// than maxAge by the length of the suspension.
//
// If the newest snapshot is not known to be that fresh, Fresh waits for the answer to a
// linearizable read of the count of one key. Then it waits until the snapshot has reached the
// revision of the answer. All caches and readers of a client share this read, so it costs one
// request however many readers wait. With a maxAge above 0, such a read is sent every maxAge/2 as
// long as Fresh is called. So readers who call it often do not wait.
//
// Fresh also waits until the range has been read for the first time. A linearizable read that fails
// is repeated. If the cache ends first, Fresh returns the error that the cache has ended with. If
// ctx ends first, Fresh returns an error that wraps the error of ctx and says what it was waiting
// for.
func (c *Cache) Fresh(ctx context.Context, maxAge time.Duration) (Snapshot, error) {
	v, err := c.fresh(ctx, max(maxAge, 0))
	if err != nil {
		return Snapshot{}, err
	}
	return Snapshot{view: v}, nil
}

// fresh returns a view that contains every write acknowledged more than maxAge ago. A view contains
// every write acknowledged before its provenAt. If provenAt is more than maxAge/2 ago, fresh also
// starts the next linearizable read, so that the next reader need not wait for it.
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

// provenSince waits for a view that contains every write acknowledged before the given time. It
// takes part in a linearizable read sent after that time, which other readers may share. Then it
// waits until the newest view has reached the revision of the answer. It repeats a read that fails.
// It also waits until the range has been read for the first time.
func (c *Cache) provenSince(ctx context.Context, after time.Time) (*view, error) {
	_, err := c.await(ctx, (*view).synced)
	failure := error(nil)
	for err == nil {
		r := c.asker.join(c, after)
		select {
		case <-ctx.Done():
			err = c.unanswered(ctx, failure)
		case <-c.ctx.Done():
			// The cache is ending. Wait until it has stored the error that it ended with.
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

// unanswered returns the error of a reader whose ctx ended while it waited for a linearizable read
// to be answered. failure is the error of the previous read, which had to be repeated, or nil.
func (c *Cache) unanswered(ctx context.Context, failure error) error {
	err := fmt.Errorf("cache of %s: a linearizable read to be answered: %w", &c.opts, ctx.Err())
	if failure != nil {
		err = fmt.Errorf("%w (the one before: %w)", err, failure)
	}
	return err
}
