package recipe

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Barrier holds up everyone who waits for it, from Hold to Release. It is one key.
// Who holds it need not be who releases it, and it outlives both. The methods are
// safe for concurrent use.
type Barrier struct {
	client *clientv3.Client
	key    string
}

// NewBarrier returns the barrier with the given key. It sends nothing.
func NewBarrier(client *clientv3.Client, key string) *Barrier { return &Barrier{client, key} }

// Hold creates the barrier. Errors: [ErrKeyExists] where it is held already. After
// any other error it may be held.
func (b *Barrier) Hold() error {
	_, _, err := create(b.client.Ctx(), b.client, b.key, "", clientv3.NoLease)
	return err
}

// Release removes the barrier and lets everyone through. It is no error that there
// is none. After an error it may be called again.
func (b *Barrier) Release() error {
	_, err := b.client.Delete(b.client.Ctx(), b.key)
	return err
}

// Wait blocks while the barrier is held, until the client is closed. It returns at once
// where the barrier is not held, or there has never been one. A Release lets through all
// that waited before it, also if the barrier is held again at once.
func (b *Barrier) Wait() error {
	var held int64 // create revision of the barrier that this call waits for
	return await(b.client.Ctx(), b.client, func(ctx context.Context) (*change, error) {
		resp, err := b.client.Get(ctx, b.key)
		if err != nil || len(resp.Kvs) == 0 {
			return nil, err
		}
		created := resp.Kvs[0].GetCreateRevision()
		if held != 0 && created != held {
			return nil, nil
		}
		held = created
		return &change{key: b.key, typ: mvccpb.Event_DELETE, from: resp.Header.GetRevision() + 1},
			nil
	})
}
