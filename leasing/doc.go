// Package leasing serves linearizable reads from a cache, for keys that are read often and written
// rarely.
//
//	kv, stop, err := leasing.NewKV(client, "leases/")
//	...
//	defer stop()
//	resp, err := kv.Get(ctx, "config") // asks the server, and takes ownership of "config"
//	resp, err = kv.Get(ctx, "config")  // answered from the cache, without a request
//
// A client that reads a key through this package takes ownership of the key, by putting the key's
// lease key. The name of the lease key is the prefix followed by the key. The lease key is attached
// to the lease of the client's session. A client that wants to write a key asks the owner to
// release the key. It then waits until the owner has released the key, or until the owner's lease
// has expired.
//
// # Rules for programs
//
// Every write of a key that a leasing client may have read must go through a KV of this package
// with the same prefix, or through the leasing KV of etcd's own client. Owners do not notice other
// writes, and go on answering reads with the old value. A program without such a KV may write in a
// transaction with the condition that the lease key does not exist:
//
//	client.Txn(ctx).
//		If(clientv3util.KeyMissing("leases/" + key)).
//		Then(clientv3.OpPut(key, value)).
//		Commit()
//
// Any client may read the keys without this package: it asks the server, and sees all writes. Keys
// that are attached to a lease are not cached, because the server deletes them without asking an
// owner. Programs must not use the keys that begin with the prefix, and must not revoke the
// session's lease.
//
// # When the cache answers
//
// The cache answers while the session's lease is certain to live, by the monotonic clock of the
// process (see clientv3.KeepAliveEnd). So a process that was paused for longer than the TTL asks
// the server again. Do not use this package on a machine that may be suspended, because the
// monotonic clock stands still meanwhile. When the machine resumes, the lease may have expired
// although the clock does not show it.
//
// # Lease keys
//
// The clients of a cluster coordinate by lease keys only, so the following rules must not change. A
// lease key exists while a client owns the key. Its value is empty. A client that wants the owner
// to release the key writes REVOKE into the lease key, and leaves the lease key attached to the
// owner's lease. The owner then deletes the lease key.
//
// # States
//
// An epoch is the time in which one session of the KV lives. Between two sessions there is no
// epoch. An ownership belongs to one key in one epoch, and has a goroutine. It has three states, in
// this order:
//
//   - acquiring. A get begins this state if the key has no ownership and no cooldown, and its lease
//     key is in no blocked range (see below). One transaction reads the key. It also puts the lease
//     key, if the lease key does not exist and the key is not attached to a lease. Other gets of
//     the key wait until the transaction is answered.
//   - owned, if the lease key was put. The cache answers gets, and the lease key is watched from
//     the next revision on. This state ends when another client writes REVOKE into the lease key,
//     when the lease key is gone, or when the server refuses to let this client read it. It also
//     ends when a write by this client has an unknown outcome or leaves a key that cannot be
//     cached, and before this client writes a range that contains the key.
//   - releasing. The lease key is deleted if it is this client's. The delete is repeated until it
//     is answered. Then the ownership ends, and a cooldown of at most 1 s starts, in which the key
//     is not acquired. If another client asks for the key again within 4 s after the end of this
//     cooldown, a pause of 4 s starts. In a pause this client acquires no key whose cooldown has
//     ended less than 4 s ago.
//
// All ownerships end with their epoch, because the server deletes the lease keys with the lease.
//
// An orphaned lease key is attached to the epoch's lease but has no ownership. Either the request
// that puts it failed for this client but was applied, or the lease is older than the epoch. Other
// clients could not write the key for as long as the lease lives. So while there may be orphans,
// this client looks for them after each renewal of the lease, and deletes them. An orphan that a
// write through this KV finds is deleted at once.
//
// The epoch ends before another session is made. It also ends before the function that closes the
// KV revokes the lease.
//
// # Who may write when
//
// A write is sent as a transaction, with conditions on the lease keys of all keys that the
// operation may write. Each lease key must either not exist or be that of this client's ownership.
// If the conditions are true, the transaction runs the operation, and then reads back the written
// keys that this client owns.
//
// The operation may be a transaction itself. Then the keys of both of its branches count, and it
// runs as a nested transaction. So a failure of its own conditions does not look like a failure of
// the conditions on lease keys.
//
// If the conditions are not true, the transaction reads the lease keys instead. The writer then
// watches the lease keys of other clients, asks the owners to release them, waits until these lease
// keys are gone, and tries again.
//
// Before a range is written, this client releases all keys that it owns in the range. Until the
// write has ended, the KV acquires no key in the range: the range is blocked.
//
// # Why an answer from the cache is never stale
//
//   - An epoch is certain while its lease certainly lives. During this time, the lease key of an
//     owned key exists, with the create revision that the ownership has recorded. Only the owner
//     deletes the lease key, and only in the state releasing. So no other client has written the
//     key since it was cached.
//   - By the monotonic clock, an epoch is certain for one TTL after the client has sent the last
//     renewal that was answered. The lease cannot expire earlier.
//   - A get takes the cached key, then the highest revision that the KV has seen, and reads the
//     clock last. If the epoch is certain at that moment, the server had the key as cached at that
//     revision. No goroutine has to notice the loss of the lease, so this is also true if the
//     process was stopped in between. A transaction takes all of its cached keys under one read
//     lock, and then reads the clock once.
//   - While this client writes a key, the server answers gets of the key. The responses to two
//     writes may arrive in the wrong order. So the key that a write has read back replaces the
//     cached key only if its revision is higher.
//   - Each put or delete that depends on a lease key has the create revision of the lease key as a
//     condition. So a request that is applied only after its ownership has ended does not affect a
//     later ownership.
//   - Keys that are attached to a lease are not cached.
//
// The package has one mutex, that of the cache. No goroutine blocks while it holds the mutex.
package leasing
