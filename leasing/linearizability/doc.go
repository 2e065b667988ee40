// Package linearizability tests package leasing as a whole. Processes with and without a leasing KV
// work on shared keys. Meanwhile members are killed, clients are cut off from all members, and
// processes are stopped for longer than their leases live. Afterwards a checker treats each key as
// a register, and searches for an order of the operations that explains their results.
//
// The package is a module of its own, so that programs that use the client do not depend on the
// checker.
package linearizability
