// Package concurrency builds locks, elections and transactions on a client's leases, transactions
// and watches. Programs in any language that use the same keys in the same way take part on equal
// terms.
//
//	session, err := concurrency.NewSession(client) // for each contender; Close it
//	mutex := concurrency.NewMutex(session, "locks/report")
//	err = mutex.Lock(ctx) // and mutex.Unlock; writes belong in a Txn with mutex.IsOwner()
//
// # Sessions
//
// A [Session] is a lease kept alive. The keys of its locks and elections are attached to the lease.
// When the program dies, or is cut off from the cluster for longer than the session's TTL, the
// lease expires, the server deletes the keys, and the next in line takes over.
//
//	s, err := concurrency.NewSession(cli, concurrency.WithTTL(10))
//	if err != nil {
//		// no lease was granted
//	}
//	defer s.Close()
//
// # Locks and elections
//
// A [Mutex] is held by one session at a time. An [Election] has one leader at a time, whose value
// every client can observe. Sessions get a lock, and lead, in the order in which they asked. Locks
// and elections are between sessions: mutexes of one session with one prefix are one mutex.
//
// A session that has lost its lock goes on working until it learns that its lease has expired. A
// lock that is made of a lease cannot prevent that. The documentation of [Mutex] says how to
// protect what a holder writes.
//
// # Calls that wait
//
// Every call returns when its context ends. Calls that are made for a session also return when the
// session ends, with an error for which errors.Is finds [ErrSessionExpired].
//
// A call that waits for its turn goes on waiting while members are lost, leaders change and
// revisions are compacted.
//
// # Keys that failed calls leave
//
// A call that has failed leaves no key behind. If the cluster cannot be reached, or the outcome of
// a request is unknown, clean-up goes on in the background until the key is deleted or the session
// has ended. A session deletes only keys that it can prove to have created:
//
//	key                                         deleted by
//	created by this session, used by no call    the call that failed, or clean-up
//	a mutex's, by a put without an answer       clean-up: the value has the session's nonce
//	a candidate's, by a put without an answer   clean-up, if the session has granted its lease
//	created by another session on the lease     Unlock and Resign only
//	any, once the session is orphaned           clean-up, if it is a mutex's and had to be
//	                                            deleted before the session was orphaned
//	any other                                   the server, with the lease
//
// So sessions that share a lease do not delete keys that other sessions use, with two exceptions:
// Unlock and Resign release the key for all sessions on the lease.
//
// # Transactions
//
// [NewSTM] runs a function whose reads and writes take effect all at once. After a conflict with
// another writer it runs the function again. [Isolation] says what a conflict is.
package concurrency

// # Contenders
//
// A contender is a session's one key in the queue of a mutex or an election. It is outside the
// queue, waits in it, or is first. It enters the queue by one transaction, which puts its key and
// reads the key before it. While it waits, it reads the two keys again, by one transaction, when
// the key before its own is deleted or a watch has ended. The deletion of its own key ends the
// wait.
//
// Invariants:
//
//   - When Lock or Campaign succeeds, one transaction has seen that the contender's own key existed
//     and that no key was before it. So there are never two holders while leases last.
//   - Package internal/keystate decides which keys a session may delete. It documents the states of
//     a key.
//   - The context of a session ends with the session, for whatever reason. If the reason, which
//     context.Cause returns, is errOrphaned, calls that wait go on. When their keys are deleted,
//     they know that the lease has ended.
//
// # Transactions
//
// A transaction is one call of NewSTM, with all of its attempts. [Isolation] says what an attempt
// reads and what a conflict is.
//
// Invariants:
//
//   - If the conditions of a commit fail, its response has the current state of the keys that were
//     read, and the next attempt reads those keys from the response. So an attempt after a conflict
//     costs one round trip if it reads no other keys.
//   - A read that fails ends the program's function by a panic whose value is the transaction. No
//     other panic is recovered. The error stays in the transaction, so that nothing is committed
//     even if the function recovers from the panic.
//   - A compacted snapshot counts as a conflict, and so makes another attempt. No other error does.
