package recipe

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
)

// Barrier blocks all clients that wait for it, from Hold to Release.
//
// One client may hold the barrier, and another may release it. The barrier is one key in the store.
// The key has no lease, so it stays when the client that holds the barrier ends. The methods are
// safe for concurrent use.
type Barrier struct {
	client *clientv3.Client
	key    string
}

// NewBarrier returns the barrier with the given key. It sends no request.
func NewBarrier(client *clientv3.Client, key string) *Barrier { return &Barrier{client, key} }

// Hold creates the barrier's key. Errors: [ErrKeyExists] if the barrier is held already. After any
// other error the barrier may be held.
func (b *Barrier) Hold() error {
	_, _, err := create(b.client.Ctx(), b.client, b.key, "", clientv3.NoLease)
	return err
}

// Release deletes the barrier's key and lets all waiting clients through. It returns nil if the
// barrier is not held. After an error it may be called again.
func (b *Barrier) Release() error {
	_, err := b.client.Delete(b.client.Ctx(), b.key)
	return err
}

// Wait blocks while the barrier is held. It returns early if the client is closed. A Release lets
// through all clients that waited before it, even if the barrier is held again at once.
func (b *Barrier) Wait() error {
	var held int64 // the create revision of the barrier's key when Wait first read the key
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
		return changeOf(b.client, b.key, resp.Header.GetRevision(),
			clientv3.WithFilterPut()), nil
	})
}
