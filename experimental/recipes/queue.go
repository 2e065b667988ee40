package recipe

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// Queue returns each element once, in the order in which they came. Any number of
// clients may put in and take out. The methods are safe for concurrent use.
type Queue struct {
	client *clientv3.Client
	pfx    string
}

// NewQueue returns the queue whose keys begin with keyPrefix and a slash. It sends
// nothing.
func NewQueue(client *clientv3.Client, keyPrefix string) *Queue {
	return &Queue{client, keyPrefix + "/"}
}

// Enqueue puts an element in. After an error it may be in the queue, or get there.
func (q *Queue) Enqueue(val string) error {
	_, _, err := create(q.client.Ctx(), q.client, q.pfx+uniqueName(), val, clientv3.NoLease)
	return err
}

// Dequeue takes the first element out. It waits while the queue is empty. After an error
// one element may be lost: taken out, and not returned.
func (q *Queue) Dequeue() (string, error) {
	return dequeue(q.client, q.pfx, clientv3.WithFirstRev())
}

// dequeue takes out the first element by the given order.
func dequeue(client *clientv3.Client, pfx string, first []clientv3.OpOption) (string, error) {
	var element *mvccpb.KeyValue
	for races := 0; ; races++ {
		err := waitUntil(client.Ctx(), func(ctx context.Context) (await.Change, error) {
			found, rev, err := read(ctx, client, clientv3.OpGet(pfx, first...))
			if err != nil {
				return nil, err
			}
			if len(found[0]) > 0 {
				element = found[0][0]
				return nil, nil
			}
			return putOf(client, pfx, rev, clientv3.WithPrefix()), nil
		})
		if err != nil {
			return "", err
		}
		taken, err := take(client, element)
		switch {
		case err != nil:
			return "", err
		case taken:
			return string(element.Value), nil
		}
		if err := backoff.Wait(client.Ctx(), raceBackoff.Delay(races)); err != nil {
			return "", err
		}
	}
}

// take deletes an element. It reports false if another client was faster.
func take(client *clientv3.Client, element *mvccpb.KeyValue) (bool, error) {
	key := string(element.Key)
	resp, err := client.Txn(client.Ctx()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", element.ModRevision)).
		Then(clientv3.OpDelete(key)).
		Commit()
	if err != nil {
		return false, err
	}
	return resp.Succeeded, nil
}
