// Package recipe provides barriers, queues and a lock for readers and writers. They consist of keys
// in the store. Other clients, also in other languages, can use these keys in the same way.
//
//	queue := recipe.NewQueue(client, "jobs")
//	err := queue.Enqueue("wash")
//	job, err := queue.Dequeue() // waits for an element
//
// The methods take no context. A method that waits returns when its condition is true. It returns
// early in two cases:
//
//   - The client is closed: the error is that of the client's context.
//   - The recipe was made with a session, and the session ends: the error is
//     concurrency.ErrSessionExpired.
//
// Other errors are those of clientv3.KV. A wait survives the failure of members, a change of the
// cluster's leader, and the compaction of revisions. The method tries again, and returns only
// errors that another attempt cannot clear.
//
// The path of the package says experimental because the path of etcd's own package does. The
// behaviour of the package does not change.
package recipe

// Invariants:
//
//   - The key of a client in a recipe has a name that no other put uses. So if the put has an
//     unknown outcome, [concurrency.Session.Discard] can safely delete the key.
//   - The transaction that puts a client's key in a double barrier also decides whether the barrier
//     is full. A later read could not decide that, because other clients may have left by then.
//   - Clients that leave a double barrier count only keys that are older than the ready key. This
//     key is put when all clients have entered. Newer keys are those of clients that try to enter
//     for the next round.
