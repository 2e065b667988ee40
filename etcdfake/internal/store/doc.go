// Package store is the state that all members of a fake etcd cluster share.
//
// A [Store] answers requests as etcd's servers do: with the same revisions, headers, errors and
// error texts. It also checks a request in the same order as etcd. So a request with two faults
// gets the same error.
//
// One mutex guards all data of a Store. A Store starts no goroutine, has no channel and no timer,
// and reads the time from a function.
//
// # Invariants
//
//   - Every committed write has one revision, one more than the write before it. The operations of
//     a transaction share a revision and are numbered within it.
//   - An entry of the log of changes is never modified, so responses may refer to its data.
//   - The history of a key is a subsequence of this log. Compaction removes an entry from both.
//   - A key is attached to the lease that its newest entry names, and to no other lease.
//   - No watcher misses an event: when the mutex is released, all events up to the store's revision
//     are in the queue of the watch stream.
//   - Leases whose time has passed are revoked before any request looks at the state.
//
// # Members
//
// A member has no data of its own. A [Caller] names the member that a request was sent to, and how
// far this member lags behind. Serializable reads and watches on a member that lags show an earlier
// state.
package store
