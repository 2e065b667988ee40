package recipe

import (
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// PriorityQueue returns each element once: those with the lowest number first, and
// those with one number in the order in which they came. Any number of clients may
// put in and take out. The methods are safe for concurrent use.
type PriorityQueue struct {
	client *clientv3.Client
	pfx    string
}

// NewPriorityQueue returns the queue whose keys begin with key and a slash. It also
// has keys that begin with two underscores, key and a slash. It sends nothing.
func NewPriorityQueue(client *clientv3.Client, key string) *PriorityQueue {
	return &PriorityQueue{client, key + "/"}
}

// Enqueue puts an element in; pr is its number, of which the lowest comes first.
// After an error it may be in the queue, or get there.
func (q *PriorityQueue) Enqueue(val string, pr uint16) error {
	ctx := q.client.Ctx()
	dir := fmt.Sprintf("%s%05d", q.pfx, pr)
	guard := "__" + dir // modified with each element of this number
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

// Dequeue takes the first element out. It waits while the queue is empty. After an error
// one element may be lost: taken out, and not returned.
func (q *PriorityQueue) Dequeue() (string, error) {
	return dequeue(q.client, q.pfx, clientv3.WithFirstKey())
}
