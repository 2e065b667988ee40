// Package keepalive keeps leases alive: it decides when each lease is renewed,
// notices when renewals go unanswered, and tells the subscribers of a lease
// what came back and why it ended.
//
// The table is the state machine: which leases are kept, which of them wait
// for an answer, when each needs attention next. It is plain data that is
// handed the time and returns what to do. The [Keeper] puts it under one
// mutex, drives it with one timer and speaks the LeaseKeepAlive protocol over
// one internal/bidi link. Neither polls, and no lease has a goroutine.
package keepalive
