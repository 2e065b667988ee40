package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

var (
	// ErrOutcomeUnknown is the error of an Update whose transaction was sent, and may or may not
	// have been applied.
	ErrOutcomeUnknown = errors.New("cache: the transaction may have been applied")
	// ErrTooManyReads is the error of an Update whose function has read more than a transaction can
	// have conditions: 128 keys and ranges.
	ErrTooManyReads = errors.New("cache: more was read than one transaction can depend on")
)

// afterConflict is the wait after a conflict, before the function of an Update runs again.
var afterConflict = backoff.Policy{
	Base: 500 * time.Microsecond, Max: 250 * time.Millisecond, Jitter: 1}

// Update runs f, which reads from a snapshot and writes, and commits what f wrote in one
// transaction, provided that nothing of what f read has changed. So Updates are serializable, and
// see neither write skew nor phantoms. It returns the revision of the commit, when the cache shows
// it.
//
// Reads in f cost no request, and an attempt costs one. If another client has changed what f read,
// Update waits until the cache shows the change, and then for a time that grows and is jittered,
// and runs f again with a new Tx. So f may run any number of times, each on the caller's goroutine,
// and must have no other effects. An f that returns an error ends the Update with that error, and
// nothing is written.
//
// If f writes nothing, no request is sent. What f has read then is one consistent snapshot, which
// may be of the past as Snapshot may be, and Update returns its revision. A commit proves more:
// what f has read was the newest state.
//
// The errors of Update are those of f; ErrTooManyReads if f has read more than 128 keys and ranges,
// before anything is sent, or if a server has a lower limit; the server's refusal, after which
// nothing is written; ErrOutcomeUnknown joined with its cause if the transaction was sent and not
// answered, after which it may have been or may still be applied, and is not sent again; the error
// that the cache has ended with; and that of ctx with what was waited for. If the revision is not
// 0, the transaction was committed, and the error says why the cache does not show it.
func (c *Cache) Update(ctx context.Context, f func(tx *Tx) error) (rev int64, err error) {
	for attempt := 0; ; attempt++ {
		v, err := c.await(ctx, (*view).synced)
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

// commit sends the transaction. If nothing that was read has changed, it waits until the cache
// shows the commit, and returns its revision. Otherwise it waits until the cache shows the change,
// and returns that there was a conflict.
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
	case !same: // only a question tells when the copy has a commit of another era
		_, err = tx.c.provenSince(ctx, time.Now())
		return rev, false, err
	}
	if !shows {
		tx.c.reach(rev) // no event may come that shows it
	}
	_, err = tx.c.await(ctx, func(v *view) bool {
		return v.era != tx.view.era || v.revision >= rev
	})
	return rev, false, err
}

// awaitWinner waits until the cache shows the change that the transaction has lost to. That is so
// when a view no longer has what the Tx has read, or has the revision of the answer. The end of the
// era also ends the wait.
func (tx *Tx) awaitWinner(ctx context.Context, rev int64) error {
	_, err := tx.c.await(ctx, func(v *view) bool {
		return v.era != tx.view.era || v.revision >= rev || tx.broken(v.tree)
	})
	return err
}

// refused reports whether an error comes from the server and shows that the write was not applied.
func refused(err error) bool {
	code := codes.Unknown
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		code = e.Code()
	} else if s, ok := status.FromError(err); ok && s.Code() != codes.ResourceExhausted {
		code = s.Code() // gRPC itself has ResourceExhausted for answers that are too large
	}
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.FailedPrecondition, codes.OutOfRange, codes.ResourceExhausted,
		codes.Unimplemented, codes.Unauthenticated:
		return true
	}
	return false
}
