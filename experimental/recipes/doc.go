// Package recipe has barriers, queues and a lock for readers and writers. They consist of keys that
// other clients, also in other languages, can use in the same way.
//
//	queue := recipe.NewQueue(client, "jobs")
//	err := queue.Enqueue("wash")
//	job, err := queue.Dequeue() // waits for one
//
// The methods take no context. They wait for their condition, or until the client is closed.
// Recipes that are made with a session also wait no longer than until the session ends. Methods
// then return the context's error, or concurrency.ErrSessionExpired. Other errors are those of
// clientv3.KV that a later attempt cannot clear. While members are lost, leaders change and
// revisions are compacted, a method goes on waiting.
//
// The package is experimental in etcd's own terms. Its behaviour does not change.
package recipe

// Invariants:
//
//   - The key of a client in a recipe has a name that no other put uses. So Session.Discard can
//     delete the key whatever the outcome of its put.
//   - The transaction that puts a client's key in a double barrier also decides whether the
//     barrier is full. A later read could not decide that, because other clients may leave before
//     it.
//   - Clients that leave a double barrier count only keys that are older than the ready key,
//     because clients of the next round may be entering.
