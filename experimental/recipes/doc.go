// Package recipe has barriers, queues and a lock for readers and writers, made of
// keys that programs of other clients and languages can use, too.
//
// The methods take no context. They wait for their condition, or until the client is closed, or,
// for recipes that are made with a session, until the session ends. Then they return the context's
// error, or concurrency.ErrSessionExpired. Other errors are those of clientv3.KV for what does not
// pass. While a method waits, members may be lost, leaders change and revisions be compacted: it
// waits on.
//
// The package is experimental in etcd's own terms. What it does stays.
package recipe

// Invariants:
//
//   - A recipe's key has a name that no other put uses. So Session.Discard can delete it whatever
//     the outcome of its put.
//   - Whether a double barrier is full for a client is decided by the transaction that has put its
//     key: other clients may leave before it looks again.
//   - Clients that leave a double barrier count only keys that are older than the ready key, since
//     clients of the next round may be entering.
