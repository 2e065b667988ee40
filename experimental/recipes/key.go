package recipe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// endedTimeout limits a request that is made for a session after the session has ended.
const endedTimeout = 5 * time.Second

var errGone = errors.New("recipe: the key is gone")

// RemoteKV is a key that a recipe has created. It is not safe for concurrent use. No exported
// function of the package returns one.
type RemoteKV struct {
	kv    clientv3.KV
	ctx   context.Context // the context of the requests
	lease clientv3.LeaseID
	key   string
	val   string
	rev   int64 // the create revision of key
}

// EphemeralKV is a RemoteKV that is attached to the lease of a session. The server deletes it when
// the lease ends.
type EphemeralKV struct{ RemoteKV }

// create puts a key that must not exist, and returns the key. The same transaction runs the range
// operations in gets. For each of them, create also returns the keys that it has read. If the key
// exists, create returns ErrKeyExists.
func create(
	ctx context.Context, client *clientv3.Client, key, val string, lease clientv3.LeaseID,
	gets ...clientv3.Op,
) (RemoteKV, [][]*mvccpb.KeyValue, error) {
	resp, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(append([]clientv3.Op{clientv3.OpPut(key, val, clientv3.WithLease(lease))},
			gets...)...).
		Commit()
	switch {
	case err != nil:
		return RemoteKV{}, nil, err
	case !resp.Succeeded:
		return RemoteKV{}, nil, ErrKeyExists
	}
	if _, err := txnanswer.Put(resp.Responses, 0); err != nil {
		return RemoteKV{}, nil, err
	}
	found, err := rangesOf(resp.Responses[1:], len(gets))
	kv := RemoteKV{kv: client, ctx: client.Ctx(), lease: lease, key: key, val: val,
		rev: resp.Header.GetRevision()}
	return kv, found, err
}

// createEphemeral puts a key on the lease of s and returns the key. The key has a new name that
// begins with prefix. The same transaction runs the range operations in gets. For each of them,
// createEphemeral also returns the keys that it has read.
//
// If createEphemeral fails, no key is left behind, even if a member applies the request late.
func createEphemeral(
	s *concurrency.Session, prefix string, gets ...clientv3.Op,
) (*EphemeralKV, [][]*mvccpb.KeyValue, error) {
	if s.Ctx().Err() != nil {
		return nil, nil, concurrency.ErrSessionExpired
	}
	key := prefix + uniqueName()
	kv, found, err := create(s.Ctx(), s.Client(), key, "", s.Lease(), gets...)
	if err == nil {
		return &EphemeralKV{kv}, found, nil
	}
	if !classify.IsRefusal(err) && !errors.Is(err, ErrKeyExists) {
		s.Discard(key, 0)
	}
	return nil, nil, sessionError(s, err)
}

// sessionError returns the error of a call for a session, after its request has failed with err:
//
//   - The session has ended: ErrSessionExpired.
//   - The lease is gone: an error that wraps ErrSessionExpired.
//   - Otherwise: err.
func sessionError(s *concurrency.Session, err error) error {
	switch {
	case err == nil:
		return nil
	case s.Ctx().Err() != nil:
		return concurrency.ErrSessionExpired
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return fmt.Errorf("%w: %w", concurrency.ErrSessionExpired, err)
	}
	return err
}

// giveUp deletes the key. It stops waiting for the request when the session s ends. If the request
// fails, giveUp returns the error, and s deletes the key in the background.
//
// If s has ended already, the lease may still live. So giveUp still sends the request, and waits
// for at most endedTimeout.
func (kv *EphemeralKV) giveUp(s *concurrency.Session) error {
	ctx := s.Ctx()
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(kv.ctx, endedTimeout)
		defer cancel()
	}
	if err := kv.delete(ctx); err != nil {
		s.Discard(kv.key, kv.rev)
		return sessionError(s, err)
	}
	return nil
}

// Key returns the name of the key.
func (rk *RemoteKV) Key() string { return rk.key }

// Revision returns the create revision of the key.
func (rk *RemoteKV) Revision() int64 { return rk.rev }

// Value returns the value that this RemoteKV has put last.
func (rk *RemoteKV) Value() string { return rk.val }

// Delete deletes the key. If the key was deleted or created again by another client, Delete does
// nothing. Errors are those of clientv3.KV.
func (rk *RemoteKV) Delete() error { return rk.delete(rk.ctx) }

func (rk *RemoteKV) delete(ctx context.Context) error {
	if rk.kv == nil {
		return nil
	}
	_, err := rk.kv.Txn(ctx).If(rk.exists()).Then(clientv3.OpDelete(rk.key)).Commit()
	return err
}

// Put changes the value of the key. If the key was deleted or created again by another client, Put
// changes nothing and returns an error that is not exported. Other errors are those of clientv3.KV.
func (rk *RemoteKV) Put(val string) error {
	if rk.kv == nil {
		return errGone
	}
	resp, err := rk.kv.Txn(rk.ctx).If(rk.exists()).Then(
		clientv3.OpPut(rk.key, val, clientv3.WithLease(rk.lease))).Commit()
	switch {
	case err != nil:
		return err
	case !resp.Succeeded:
		return errGone
	}
	rk.val = val
	return nil
}

func (rk *RemoteKV) exists() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(rk.key), "=", rk.rev)
}

var (
	// ErrKeyExists is returned if a recipe has to create a key and the key exists already.
	ErrKeyExists = errors.New("key already exists")

	// ErrNoWatcher is returned by WaitEvents and WaitPrefixEvents if the client is closed.
	ErrNoWatcher = errors.New("no watcher channel")

	// ErrTooManyClients is returned by DoubleBarrier.Enter if the barrier is full.
	ErrTooManyClients = errors.New("too many clients")

	// ErrWaitMismatch is returned by WaitEvents and WaitPrefixEvents if their list of events is
	// empty.
	ErrWaitMismatch = errors.New("unexpected wait result")
)
