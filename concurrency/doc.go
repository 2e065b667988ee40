// Package concurrency provides locks, leader elections and software transactional memory (STM).
// They are built on the leases, transactions and watches of an etcd client. A program in another
// language can share a lock or an election if it uses the same keys in the same way.
//
//	session, err := concurrency.NewSession(client) // one for each contender; Close it after use
//	mutex := concurrency.NewMutex(session, "locks/report")
//	err = mutex.Lock(ctx)
//	// Write in transactions with the condition mutex.IsOwner(), then call mutex.Unlock.
//
// # Sessions
//
// A [Session] is a lease that the client keeps alive. The keys of its locks and elections are
// attached to the lease. When the program dies, or is cut off from the cluster for longer than the
// session's TTL, the lease expires and the server deletes the keys. The next contender in each
// queue then gets the lock or becomes the leader.
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
// every client can observe. Sessions get a lock, or become the leader, in the order in which they
// asked. Locks and elections exclude sessions, not goroutines: two mutexes that one session makes
// with the same prefix are one mutex.
//
// The holder of a lock learns only with a delay that its lease has expired. In the meantime another
// session may hold the lock. No lock that depends on a lease can prevent that. The documentation of
// [Mutex] says how to protect the data that a holder writes.
//
// # Calls that wait
//
// Every call returns when its context ends. A call that is made for a session, such as Lock or
// Campaign, also returns when the session ends. errors.Is then finds [ErrSessionExpired] in its
// error, or rpctypes.ErrLeaseNotFound if a request of the call has found that the lease is gone. A
// session that ends by [Session.Orphan] does not end such calls.
//
// A call that waits in the queue of a lock or an election goes on waiting when members fail, when
// the cluster changes its leader, and when revisions are compacted.
//
// # Keys that failed calls leave
//
// A call that fails deletes the key that it has put. If the cluster cannot be reached, or the
// outcome of a request is unknown, the session goes on in the background to look for the key and to
// delete it. This clean-up ends when the key is deleted, or one TTL after the end of the session. A
// session deletes only keys that it can prove to have created. One proof is the session's nonce, a
// random text in the values of its mutexes' keys.
//
//	kind of key                                   who deletes such a key
//	created by this session, no call uses it      the call that failed, or clean-up
//	key of a mutex, its put was not answered      clean-up: the value has the session's nonce
//	key of a candidate, put was not answered      clean-up, if NewSession has granted the lease
//	created by another session on the lease       only Unlock and Resign
//	not yet cleaned up when Orphan is called      clean-up, if the key is a mutex's and is known
//	                                              to exist
//	any other key                                 the server, when the lease ends
//
// So sessions that share a lease do not delete keys that other sessions use, with two exceptions:
// Unlock and Resign release the key for all sessions on the lease.
//
// # Transactions
//
// [NewSTM] runs a function of the program. The reads and writes of the function take effect all at
// once. After a conflict with another client's write, NewSTM runs the function again. [Isolation]
// says which writes are conflicts.
package concurrency

// # Contenders
//
// A contender is a session that may enter the queue of a mutex or an election. It is outside the
// queue, waits in the queue, or is first in the queue. To enter, it puts its key and reads the key
// right before its own, in one transaction. While it waits, it reads these two keys again, in one
// transaction, whenever the key before its own is deleted or a watch has ended. The deletion of its
// own key ends the wait.
//
// Invariants:
//
//   - When Lock or Campaign succeeds, one transaction has seen that the contender's own key existed
//     and that no key was before it. So there are never two holders as long as their leases live.
//   - Package internal/keystate decides which keys a session may delete. It documents the states of
//     a key.
//   - The context of a session ends when the session ends. context.Cause returns the reason. After
//     the reason errOrphaned, calls that wait go on, because the lease may live on. They return
//     when their keys are deleted, which shows that the lease has ended.
//
// # Transactions
//
// A transaction is one call of NewSTM. It consists of attempts, each of which calls the program's
// function once. [Isolation] says what an attempt reads and what a conflict is.
//
// Invariants:
//
//   - If the conditions of a commit are false, its response has the current state of the keys that
//     the attempt has read. The next attempt takes those keys from the response. So it costs one
//     round trip if it reads no other keys.
//   - A read that fails ends the program's function by a panic whose value is the transaction.
//     NewSTM recovers from this panic and from no other. The error stays in the transaction, so
//     that nothing is committed even if the function recovers from the panic.
//   - If the revision at which an attempt reads has been compacted, another attempt begins, as
//     after a conflict. Every other error ends the transaction.
