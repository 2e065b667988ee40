package recipe

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
)

// Barrier holds up all clients that wait for it, from Hold to Release. It is one key.
// One client may hold it and another one release it; it outlives both. The methods are
// safe for concurrent use.
type Barrier struct {
	client *clientv3.Client
	key    string
}

// NewBarrier returns the barrier with the given key. It sends nothing.
func NewBarrier(client *clientv3.Client, key string) *Barrier { return &Barrier{client, key} }

// Hold creates the barrier. Errors: [ErrKeyExists] if it is held already. After
// any other error it may be held.
func (b *Barrier) Hold() error {
	_, _, err := create(b.client.Ctx(), b.client, b.key, "", clientv3.NoLease)
	return err
}

// Release removes the barrier and lets all clients through. It is no error if the
// barrier is not held. After an error it may be called again.
func (b *Barrier) Release() error {
	_, err := b.client.Delete(b.client.Ctx(), b.key)
	return err
}

// Wait blocks while the barrier is held, until the client is closed. It returns at once
// if the barrier is not held. A Release lets through all
// that waited before it, also if the barrier is held again at once.
func (b *Barrier) Wait() error {
	var held int64 // create revision of the barrier that this call waits for
	return waitUntil(b.client.Ctx(), func(ctx context.Context) (await.Change, error) {
		resp, err := b.client.Get(ctx, b.key)
		if err != nil || len(resp.Kvs) == 0 {
			return nil, err
		}
		created := resp.Kvs[0].GetCreateRevision()
		if held != 0 && created != held {
			return nil, nil
		}
		held = created
		return deletionOf(b.client, b.key, resp.Header.GetRevision()), nil
	})
}
