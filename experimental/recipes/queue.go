package recipe

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// Queue returns each element once, in the order in which the elements were put in. Any number of
// clients may put elements in and take them out. The methods are safe for concurrent use.
//
// When Dequeue returns an element, the element has left the queue. So the element is lost if the
// program ends before it has processed the element. If another worker must then do the job, use
// keys and sessions instead: see the module's program examples/queue.
type Queue struct {
	client *clientv3.Client
	pfx    string
}

// NewQueue returns the queue whose keys begin with keyPrefix and a slash. It sends no request.
func NewQueue(client *clientv3.Client, keyPrefix string) *Queue {
	return &Queue{client, keyPrefix + "/"}
}

// Enqueue adds an element at the end of the queue. After an error the element may be in the queue,
// or may get into the queue later.
func (q *Queue) Enqueue(val string) error {
	_, _, err := create(q.client.Ctx(), q.client, q.pfx+uniqueName(), val, clientv3.NoLease)
	return err
}

// Dequeue takes the first element out of the queue and returns the element. It waits while the
// queue is empty. After an error one element may be lost: it was taken out and is not returned.
func (q *Queue) Dequeue() (string, error) {
	return dequeue(q.client, q.pfx, clientv3.WithFirstRev())
}

// dequeue takes an element out of the queue and returns its value. It waits while there is no
// element. With the options in first, a read of the keys that begin with pfx finds the element's
// key.
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
			return changeOf(client, pfx, rev, clientv3.WithPrefix(),
				clientv3.WithFilterDelete()), nil
		})
		if err != nil {
			return "", err
		}
		key := string(element.Key)
		resp, err := client.Txn(client.Ctx()).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", element.ModRevision)).
			Then(clientv3.OpDelete(key)).
			Commit()
		switch {
		case err != nil:
			return "", err
		case resp.Succeeded: // otherwise another client has taken the element
			return string(element.Value), nil
		}
		if err := backoff.Wait(client.Ctx(), raceBackoff.Delay(races)); err != nil {
			return "", err
		}
	}
}

// PriorityQueue is a queue whose elements have numbers. It returns each element once, and elements
// with the lowest number first. Elements with the same number come in the order in which they were
// put in.
//
// Any number of clients may put elements in and take them out. The methods are safe for concurrent
// use. As with Queue, an element that was taken out is lost if the program ends before it has
// processed the element.
type PriorityQueue struct {
	client *clientv3.Client
	pfx    string
}

// NewPriorityQueue returns the queue whose keys begin with the parameter key and a slash. The queue
// also uses keys that begin with "__", the parameter key, and a slash. NewPriorityQueue sends no
// request.
func NewPriorityQueue(client *clientv3.Client, key string) *PriorityQueue {
	return &PriorityQueue{client, key + "/"}
}

// Enqueue adds an element with the number pr to the queue. Elements with the lowest number come out
// first. After an error the element may be in the queue, or may get into the queue later.
func (q *PriorityQueue) Enqueue(val string, pr uint16) error {
	ctx := q.client.Ctx()
	dir := fmt.Sprintf("%s%05d", q.pfx, pr)
	// Each Enqueue with the number pr also puts one more key, whose name is in guard. If two calls
	// with this number run concurrently, the second finds that this key has changed, and tries
	// again.
	guard := "__" + dir
	for races := 0; ; races++ {
		last, err := q.client.Get(ctx, dir+"/", clientv3.WithLastKey()...)
		if err != nil {
			return err
		}
		number := 0
		if len(last.Kvs) > 0 {
			name := string(last.Kvs[0].GetKey())
			text, ok := strings.CutPrefix(name, dir+"/")
			if !ok {
				return txnanswer.Errorf("key %q among those with the prefix %q", name, dir+"/")
			}
			n, err := strconv.Atoi(text)
			if err != nil {
				return fmt.Errorf("recipe: the key %q is no element of a priority queue: %w", name,
					err)
			}
			number = n + 1
		}
		resp, err := q.client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(guard), "<", last.Header.GetRevision()+1)).
			Then(clientv3.OpPut(guard, ""), clientv3.OpPut(fmt.Sprintf("%s/%016d", dir, number),
				val)).
			Commit()
		if err != nil || resp.Succeeded {
			return err
		}
		if err := backoff.Wait(ctx, raceBackoff.Delay(races)); err != nil {
			return err
		}
	}
}

// Dequeue takes the first element out of the queue and returns the element. It waits while the
// queue is empty. After an error one element may be lost: it was taken out and is not returned.
func (q *PriorityQueue) Dequeue() (string, error) {
	return dequeue(q.client, q.pfx, clientv3.WithFirstKey())
}
