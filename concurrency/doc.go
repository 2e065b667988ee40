// Package concurrency builds locks, elections and transactions on a client's
// leases, transactions and watches. Programs in any language that use the same keys
// in the same way take part on equal terms.
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
// A [Mutex] is held by one session at a time. An [Election] has one leader at a time,
// whose value everyone can observe. Both are first come, first served. They
// contend between sessions: mutexes of one session with one prefix are the same one.
//
// No lock of this kind keeps its former holder from going on until that holder learns that its
// lease has expired. [Mutex] says what to rely on instead.
//
// # Calls that wait
//
// Every call ends with its context, and calls that are made in a session's name end
// with the session, in an error for which errors.Is finds [ErrSessionExpired].
//
// While a call waits for its turn, members may be lost, leaders change and revisions
// be compacted: it waits on.
//
// # Keys that failed calls leave
//
// A call that has failed leaves no key behind. If the cluster cannot be reached, or
// the outcome of a request is not known, clean-up goes on in the background until it is done or the
// session has ended. It deletes only what the session can prove to have made:
//
//	key                                         deleted by
//	made by this session, used by no call       the call that failed, or clean-up
//	a mutex's, made by a put without an answer  clean-up: the value is a nonce of the session
//	a candidate's, made by such a put           clean-up, if the session has granted its lease
//	made by another session on the same lease   Unlock and Resign only
//	any, once the session is orphaned           clean-up, if it is a mutex's and was known before
//	what is left                                the server, with the lease
//
// So sessions that share a lease do not delete what another one waits with or holds, except by
// Unlock or Resign: these release it for all.
//
// # Transactions
//
// [NewSTM] runs a function whose reads and writes take effect all at once, and runs
// it again after a conflict with another writer. [Isolation] says what a conflict is.
package concurrency

// # States of a session
//
//	state  event                                           next      effect
//	alive  the keepalive channel closes, or no renewal is  expired
//	       answered within the granted TTL
//	alive  the server answers that the lease is gone       expired
//	alive  its context or client ends                      ended     the lease expires
//	alive  Orphan                                          orphaned  calls go on, and learn the
//	                                                                 lease's end from their keys
//	any    Close                                           closed    the lease is revoked;
//	                                                                 background work is waited for
//
// Each of these events ends the session's context. context.Cause says whether it was Orphan: only
// then may the lease live on.
//
// # States of a contender
//
// A contender is a session's one key in a queue, that of a mutex or of a candidate.
//
//	state    event                                       next                  cost
//	outside  enter: put the key if it does not exist,    first, or waiting     1 request
//	         and read the key before it
//	outside  tryEnter: put the key if the queue is       first, or outside     1 request
//	         empty
//	waiting  the key ahead is deleted                    look                  1 event
//	waiting  a watch ends                                look, after a wait
//	waiting  its own key is deleted                      outside: expired      1 event
//	waiting  its own key was unlocked by another         outside, and enter
//	         goroutine of the session                    again
//	waiting  the context or session ends, or a request   outside: abandoned
//	         is refused
//	look     its own key exists, and no key is ahead     first                 1 request
//	look     its own key exists, and a key is ahead      waiting               1 request
//	look     its own key is gone                         outside: expired      1 request
//
// Invariants:
//
//   - What Lock and Campaign return was seen in one transaction: the contender's own key existed,
//     and none was ahead of it. So there are never two holders while leases last.
//   - What a session may delete is decided in internal/keystate, which has the states of a key.
//
// # Isolation of transactions
//
// A transaction is one call of NewSTM, with all of its attempts. At the first two levels an attempt
// reads everything at the revision of its first read. Any member that has this revision can answer;
// one that lags behind is asked again linearizably, which makes it catch up.
//
//	level                 reads                          conditions of the commit
//	SerializableSnapshot  at one revision                what was read is unmodified; what is only
//	                                                     written is not newer than the snapshot
//	Serializable          at one revision                what was read is unmodified
//	RepeatableReads       each key once, as it is then   what was read is unmodified
//	ReadCommitted         each key once, as it is then   none
//
// Invariants:
//
//   - A commit whose conditions fail returns what the keys that were read are now, and the next
//     attempt reads them from there. So an attempt after a conflict costs one round trip if it
//     reads the same keys.
//   - A read that fails leaves the program's function by a panic with the transaction itself, and
//     only that panic is recovered. The error stays in the transaction, so that a function that
//     recovers from everything commits nothing.
//   - A compacted snapshot is a conflict. No other error is.
