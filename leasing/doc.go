// Package leasing serves linearizable reads from a cache, for keys that are read often and written
// rarely.
//
//	kv, stop, err := leasing.NewKV(client, "leases/")
//	...
//	defer stop()
//	resp, err := kv.Get(ctx, "config") // asks the server, and takes ownership of "config"
//	resp, err = kv.Get(ctx, "config")  // costs no request
//
// A client that has read a key owns it: it has put the key's lease key. The name of the lease key
// is the prefix followed by the key, and it is attached to the lease of the client's session. A
// client that wants to write a key asks the owner to release it, and waits until the owner has
// released it, or until the owner's lease has expired.
//
// # Rules for programs
//
// Every write of a key that a leasing client may have read must go through a KV of this package
// with the same prefix, or through the leasing KV of etcd's own client. Owners do not notice a
// plain write. A program without such a KV may write in a transaction with the condition that the
// lease key does not exist:
//
//	client.Txn(ctx).
//		If(clientv3util.KeyMissing("leases/" + key)).
//		Then(clientv3.OpPut(key, value)).
//		Commit()
//
// Any client may read the keys in any way, and sees all writes. Keys that are attached to a lease
// are not cached, because the server deletes them without asking an owner. Programs must not use
// the keys that begin with the prefix, and must not revoke the session's lease.
//
// # When the cache answers
//
// The cache answers while the session's lease is certain to live, by the monotonic clock of the
// process (see clientv3.KeepAliveEnd): a process that was paused for longer than the TTL asks the
// server again. That clock stands still while a machine is suspended. So do not use this package on
// machines that are suspended and resumed while a lease could expire.
//
// # Lease keys
//
// The clients of a cluster coordinate by lease keys only, so the meaning of a lease key must not
// change: it exists while a client owns the key; it is empty; a client that wants the key to be
// released writes REVOKE into it, and keeps its lease; the owner deletes it.
//
// # States
//
// An epoch lasts as long as one session; there is none while the next session is made. An ownership
// belongs to one key in one epoch, and has a goroutine. It has three states, in this order:
//
//   - acquiring, from a get that finds no ownership, no cooldown and no blocked range: one
//     transaction reads the key, and puts the lease key if the lease key does not exist and the
//     key is not attached to a lease. Gets of the key wait until it is answered.
//   - owned, if the lease key was put: the cache answers gets, and the lease key is watched from
//     the next revision on. This ends if the lease key is asked for or gone, or the server
//     refuses to show it; if a write of this client has an unknown outcome or wrote a key that
//     cannot be cached; and if a range with the key is about to be written.
//   - releasing: the lease key is deleted if it is this client's, again and again until the
//     delete is answered. Then the ownership ends, and a cooldown of at most 1 s starts, in which
//     the key is not acquired. If the key is asked for again within 4 s after its cooldown, all
//     keys with such a recent cooldown are not acquired for up to 4 s.
//
// All ownerships end with their epoch, because the server deletes the lease keys with the lease.
//
// An orphaned lease key is attached to the epoch's lease and has no ownership: the request for it
// failed and was applied all the same, or the lease is older than the epoch. No other client could
// write its key while the lease lives. If there may be orphaned lease keys, each renewal of the
// lease is followed by a look for them. A write of the same KV that finds one releases it at once.
//
// The epoch ends before another session is made, and before the closing function revokes the lease.
//
// # Who may write when
//
// A write is a transaction. Its conditions are on the lease keys of all keys that the operation may
// write, in both branches if it is a transaction itself: each lease key either does not exist or is
// that of this client's ownership. If the conditions hold, the operation runs as a nested
// transaction, so that its own conditions fail separately; then the keys that this client owns are
// read back. Otherwise the transaction reads the lease keys. The writer then watches the lease keys
// of other clients, asks the owners to release them, waits until they are gone, and tries again.
//
// Before a range is written, the ownerships of its keys are released. Until the write has ended the
// KV acquires no key in the range: the range is blocked.
//
// # Why an answer from the cache is never stale
//
//   - While an epoch is certain, the lease key of an owned key exists, with its create revision.
//     Only its owner deletes it, and only after the state is releasing. So no other client has
//     written the key since it was cached.
//   - An epoch is certain until its lease could expire: for the TTL after the last answered
//     renewal was sent, by the monotonic clock.
//   - A get takes the cached key, then the highest revision seen, and reads the clock last. If
//     the epoch is certain at that moment, the server had the key as cached at that revision.
//     This also holds if the process was stopped in between, because no goroutine has to notice
//     the loss of the lease. A transaction takes all of its cached keys under one read lock, and
//     then reads the clock once.
//   - While this client writes a key, the server answers gets of it. What a write reads back
//     replaces the cached key only if its revision is higher, because answers can overtake each
//     other.
//   - Each put or delete that depends on a lease key has its create revision as a condition. So a
//     request that is applied late, after its ownership, does not affect a later ownership.
//   - Keys that are attached to a lease are not cached.
//
// The package has one mutex, that of the cache. Nothing waits while it is held.
package leasing
