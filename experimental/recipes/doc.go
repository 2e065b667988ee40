// Package recipe has barriers, queues and a lock for readers and writers. They are made of keys
// that programs of other clients and languages can use, too.
//
//	queue := recipe.NewQueue(client, "jobs")
//	err := queue.Enqueue("wash")
//	job, err := queue.Dequeue() // waits for one
//
// The methods take no context. They wait for their condition, or until the client is closed, or,
// for recipes that are made with a session, until the session ends. Then they return the context's
// error, or concurrency.ErrSessionExpired. Other errors are those of clientv3.KV that do not pass.
// A method goes on waiting while members are lost, leaders change and revisions are compacted.
//
// The package is experimental in etcd's own terms. Its behaviour does not change.
package recipe

// Invariants:
//
//   - The key of a client in a recipe has a name that no other put uses. So Session.Discard can
//     delete the key whatever the outcome of its put.
//   - The transaction that puts a client's key decides whether a double barrier is full for the
//     client: other clients may leave before the client looks again.
//   - Clients that leave a double barrier count only keys that are older than the ready key, since
//     clients of the next round may be entering.
