// Package store is the state of an etcd cluster: what all of its members agree on.
//
// A [Store] answers requests as etcd's servers do: with the revisions, headers, errors and
// error texts that they give, checked in the order in which they check. It is data under one mutex.
// It starts no goroutine, has no channel and no timer, and reads the time from a function.
//
// # Invariants
//
//   - Every committed write has one revision, one more than the write before it. The operations of
//     a transaction share a revision and are numbered within it.
//   - An entry of the log is never modified, so responses share it.
//   - A key's history is a subsequence of the log. Compaction removes an entry from both at once.
//   - A key is attached to the lease that its newest entry names, and to no other.
//   - A watcher that was created is caught up: its stream has queued every event up to the
//     store's revision before the mutex is released.
//   - Leases whose time has passed are gone before any request looks at the state.
//
// # Members
//
// A member is a view of the state. A [Caller] names the member that was asked, and how far it lags
// behind. A member that lags serves serializable reads and watches as of the past.
package store
