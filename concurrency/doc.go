// Package concurrency builds locks, elections and transactions on a client's
// leases, transactions and watches. Programs in any language that use the same keys
// in the same way take part on equal terms.
//
// # Sessions
//
// A [Session] is a lease kept alive. What a program holds, it holds in the name of a
// session: when the program dies, or is cut off from the cluster for longer than
// the session's TTL, the lease expires and the next in line takes over.
//
//	s, err := concurrency.NewSession(cli, concurrency.WithTTL(10))
//	if err != nil {
//		// no lease was granted
//	}
//	defer s.Close()
//
// # Locks and elections
//
// A [Mutex] is held by one session at a time; an [Election] has one leader at a time,
// whose value everyone can observe. Both are first come, first served. They
// contend between sessions: mutexes of one session with one prefix are the same one.
//
// No lock of this kind keeps its former holder from acting on while that does not
// know yet that its lease has expired. [Mutex] says what to rely on instead.
//
// # Calls that wait
//
// Every call ends with its context, and those that are made in a session's name end
// with that, too, in an error for which errors.Is finds [ErrSessionExpired]. A call
// that has failed leaves no key behind. Where the cluster cannot be reached, or
// the outcome of a request is not known, clean-up goes on in the background and
// ends with the session.
//
// While a call waits for its turn, members may be lost, leaders change and revisions
// be compacted: it waits on.
//
// # Transactions
//
// [NewSTM] runs a function whose reads and writes take effect all at once, and runs
// it again where others got in its way. [Isolation] says what counts as in the way.
package concurrency
