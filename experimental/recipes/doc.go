// Package recipe provides barriers, queues and a lock for readers and writers. They consist of keys
// in the store. Other clients, also in other languages, can use these keys in the same way.
//
//	queue := recipe.NewQueue(client, "jobs")
//	err := queue.Enqueue("wash")
//	job, err := queue.Dequeue() // waits for an element
//
// The methods take no context. A method that waits returns when its condition is true, or when the
// client is closed. If the recipe was made with a session, the method also returns when the session
// ends. It returns the error of the client's context if the client is closed, and
// concurrency.ErrSessionExpired if the session ends. Other errors are those of clientv3.KV. A wait
// survives the failure of members, a change of the cluster's leader, and the compaction of
// revisions: the method tries again, and returns only errors that another attempt cannot clear.
//
// The path of the package says experimental because the path of etcd's own package does. The
// behaviour of the package does not change.
package recipe

// Invariants:
//
//   - The key of a client in a recipe has a name that no other put uses. So if the put of the key
//     has an unknown outcome, the recipe can have the key deleted with
//     [concurrency.Session.Discard]: no other client's key has this name.
//   - The transaction that puts a client's key in a double barrier also decides whether the barrier
//     is full. A read after the transaction could not decide that, because other clients may leave
//     before the read.
//   - Clients that leave a double barrier count only the clients' keys that are older than the
//     ready key, which is put when all clients have entered. Newer keys are those of clients that
//     try to enter for the next round.
