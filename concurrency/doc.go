// Package concurrency builds on a client's leases, transactions and watches.
//
// # Transactions
//
// [NewSTM] runs a function whose reads and writes take effect all at once, and runs
// it again where others got in its way. [Isolation] says what counts as in the way.
package concurrency
