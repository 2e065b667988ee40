// Package linearizability checks package leasing as a whole: processes with and without
// a leasing KV work on the same keys while members are killed, clients are cut off, and
// whole processes are stopped for longer than their leases live. What they have seen is
// then searched for an order in which a single register would have answered the same.
//
// It is a module of its own for the checker's sake, which nothing else needs.
package linearizability
