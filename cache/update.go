package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/cache/internal/evaluate"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

var (
	// ErrOutcomeUnknown is the error of an Update whose transaction was sent but not answered. The
	// transaction may or may not have been applied.
	ErrOutcomeUnknown = errors.New("cache: the transaction may have been applied")
	// ErrTooManyReads is the error of an Update whose function has read more than 128 keys and
	// ranges, or more than the server allows as conditions of one transaction.
	ErrTooManyReads = errors.New("cache: more was read than one transaction can depend on")
)

// afterConflict is the wait before Update runs its function again because another client has
// changed what the function had read.
var afterConflict = backoff.Policy{
	Base: 500 * time.Microsecond, Max: 250 * time.Millisecond, Jitter: 1}

// Update runs f, and commits the writes of f in one transaction. f reads from a snapshot through tx
// and records its writes in tx. The commit succeeds only if nothing that f has read was changed
// since. So Updates are serializable, without write skew and phantoms. Update waits until the cache
// shows the commit, and returns the revision of the commit.
//
// Reads in f cost no request, and each attempt to commit costs one. If another client has changed
// what f has read, Update waits until the cache shows the change. It then waits for a short random
// time that grows with each attempt, and runs f again with a new Tx. So f may run any number of
// times, always on the caller's goroutine, and must have no side effects. If f returns an error,
// Update writes nothing and returns that error.
//
// If f writes nothing, Update sends no request, and returns the revision of the snapshot that f has
// read. That snapshot is consistent, but it may be out of date like any Snapshot.
//
// If f writes, a successful commit proves that what f has read was the newest state. That proof
// rests on the mod revisions of the keys. If the cluster is replaced by another one between the
// read and the commit, a key of the new cluster with the same mod revision counts as unchanged.
//
// Update returns these errors:
//
//   - the error of f, or of one of the methods of tx; nothing was written
//   - ErrTooManyReads, if f has read more than 128 keys and ranges, or more than the server allows;
//     nothing was written
//   - the error of the server, if it has refused the transaction; nothing was written
//   - ErrOutcomeUnknown joined with its cause, if the transaction was sent and not answered, or if
//     gRPC found a message too large, which may have been the request or the answer. The
//     transaction may have been applied, or may still be applied. Update does not send it again
//   - the error that the cache has ended with
//   - an error that wraps the error of ctx and says what Update was waiting for
//
// If the returned revision is not 0, the transaction was committed, and the error says why the
// cache does not show it.
func (c *Cache) Update(ctx context.Context, f func(tx *Tx) error) (rev int64, err error) {
	for attempt := 0; ; attempt++ {
		v, err := c.await(ctx, (*view).valid)
		if err != nil {
			return 0, err
		}
		tx := newTx(c, v)
		switch err := f(tx); {
		case tx.err != nil:
			return 0, errors.Join(tx.err, err)
		case err != nil:
			return 0, err
		case len(tx.writes) == 0:
			return v.revision, nil
		}
		rev, conflict, err := tx.commit(ctx)
		if err != nil || !conflict {
			return rev, err
		}
		if err := backoff.Wait(ctx, afterConflict.Delay(attempt)); err != nil {
			return 0, fmt.Errorf("cache: a conflict to pass, after %d attempts: %w", attempt+1, err)
		}
	}
}

// commit sends the transaction. If it succeeds, commit waits until the cache shows it, and returns
// its revision. If something that was read has changed, commit waits until the cache shows that
// change, and returns conflict as true.
func (tx *Tx) commit(ctx context.Context) (rev int64, conflict bool, err error) {
	cmps, err := tx.conditions()
	if err != nil {
		return 0, false, err
	}
	if err := ctx.Err(); err != nil {
		return 0, false, fmt.Errorf("cache: the transaction was not sent: %w", err)
	}
	ops, shows := tx.ops()
	resp, err := tx.c.client.Txn(ctx).If(cmps...).Then(ops...).Commit()
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps) && len(cmps) > len(ops):
		return 0, false, fmt.Errorf("%w: %w", ErrTooManyReads, err)
	case err != nil && !refused(err):
		return 0, false, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	case err != nil:
		return 0, false, err
	}
	rev = resp.Header.GetRevision()
	same := tx.c.sameEra(resp.Header, tx.view)
	switch {
	case !resp.Succeeded && !same:
		_, err = tx.c.await(ctx, func(v *view) bool { return v.era != tx.view.era })
		return 0, true, err
	case !resp.Succeeded:
		return 0, true, tx.awaitWinner(ctx, rev)
	// The cluster or the copy was replaced meanwhile, so rev cannot be compared with revisions of
	// the copy. Only a linearizable read shows when the copy has the commit.
	case !same:
		_, err = tx.c.provenSince(ctx, time.Now())
		return rev, false, err
	}
	if !shows {
		tx.c.reach(rev) // rev may bring no event in the range, so notices of progress are needed
	}
	_, err = tx.c.await(ctx, func(v *view) bool {
		return v.era != tx.view.era || v.revision >= rev
	})
	return rev, false, err
}

// awaitWinner waits until the cache shows the change that made the transaction fail. The newest
// view shows it if the view no longer has what the Tx has read, or has reached rev, the revision of
// the answer. awaitWinner also returns when the copy was replaced, because the cluster was replaced
// or restored, or because the copy was wrong.
//
// The change usually comes as an event of the cache's watch. If it has not come after repeatAfter,
// awaitWinner requests progress, so that the copy reaches rev even without such an event.
//
// At rev, the server has found that the conditions do not hold. If they hold for the copy at rev,
// the copy is wrong. Then awaitWinner makes the cache read the range again.
func (tx *Tx) awaitWinner(ctx context.Context, rev int64) error {
	c, conditions := tx.c, tx.compares()
	overdue := time.AfterFunc(repeatAfter, func() { c.reach(rev) })
	defer overdue.Stop()
	v, err := c.await(ctx, func(v *view) bool {
		return v.era != tx.view.era || v.revision >= rev ||
			!evaluate.Holds(evaluate.Keys{Tree: v.tree}, conditions)
	})
	if err != nil || v.era != tx.view.era || v.revision < rev {
		return err
	}
	keys, ok := c.keysAt(v, rev)
	if !ok || !evaluate.Holds(keys, conditions) {
		return nil
	}
	c.counts.differences.Add(1)
	c.replaced(v, fmt.Sprintf("the copy differs at revision %d from what the server has", rev))
	_, err = c.await(ctx, func(next *view) bool { return next.era != v.era })
	return err
}

// refused reports whether an error comes from the server and shows that the write was not applied.
func refused(err error) bool {
	code := codes.Unknown
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		code = e.Code()
	} else if s, ok := status.FromError(err); ok && s.Code() != codes.ResourceExhausted {
		// ResourceExhausted shows a refusal only if it is an error of etcd. gRPC also returns this
		// code if the answer to an applied transaction is too large to be received.
		code = s.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.FailedPrecondition, codes.OutOfRange, codes.ResourceExhausted,
		codes.Unimplemented, codes.Unauthenticated:
		return true
	}
	return false
}
