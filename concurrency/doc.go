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
// A former holder goes on working until it learns that its lease has expired. A lock that is made
// of a lease cannot prevent that. The documentation of [Mutex] says how to protect what a holder
// writes.
//
// # Calls that wait
//
// Every call ends with its context. Calls in a session's name also end with the session, with an
// error for which errors.Is finds [ErrSessionExpired].
//
// A call that waits for its turn goes on waiting while members are lost, leaders change and
// revisions are compacted.
//
// # Keys that failed calls leave
//
// A call that has failed leaves no key behind. If the cluster cannot be reached, or the outcome of
// a request is not known, clean-up goes on in the background until it is done or the session has
// ended. It deletes only keys of which the session can prove that it has made them:
//
//	key                                         deleted by
//	made by this session, used by no call       the call that failed, or clean-up
//	a mutex's, made by a put without an answer  clean-up: the value is a nonce of the session
//	a candidate's, made by such a put           clean-up, if the session has granted its lease
//	made by another session on the same lease   Unlock and Resign only
//	any, once the session is orphaned           clean-up, if it is a mutex's and was due before
//	any other                                   the server, with the lease
//
// So sessions that share a lease do not delete keys that other sessions use, except by Unlock or
// Resign: these release the key for all.
//
// # Transactions
//
// [NewSTM] runs a function whose reads and writes take effect all at once, and runs it again after
// a conflict with another writer. [Isolation] says what a conflict is.
package concurrency

// # Contenders
//
// A contender is a session's one key in the queue of a mutex or an election. It is outside, waiting
// or first. It enters by one transaction, which puts its key and reads the key before it. While it
// waits it looks again, by one transaction, when the key ahead is deleted or a watch has ended; an
// event of its own key ends the wait.
//
// Invariants:
//
//   - What Lock and Campaign return was seen in one transaction: the contender's own key existed,
//     and none was ahead of it. So there are never two holders while leases last.
//   - Which keys a session may delete is decided in internal/keystate, which has the states of a
//     key.
//   - The context of a session ends with the session, whatever the reason. If context.Cause is
//     errOrphaned, calls that wait go on. The deletion of their keys shows them that the lease has
//     ended.
//
// # Transactions
//
// A transaction is one call of NewSTM, with all of its attempts. [Isolation] says what an attempt
// reads and what a conflict is.
//
// Invariants:
//
//   - A commit whose conditions fail returns the keys that were read, as they are then, and the
//     next attempt reads them from there. So an attempt after a conflict costs one round trip if it
//     reads the same keys.
//   - A read that fails leaves the program's function by a panic with the transaction itself, and
//     only that panic is recovered. The error stays in the transaction, so that a function that
//     recovers from everything commits nothing.
//   - A compacted snapshot is a conflict. No other error is.
