// Package linearizability tests the reads and Updates of package cache as a whole. Clients with and
// without a cache work on shared keys while members are stopped and killed, and clients are cut off
// from all members. A checker then searches for an order of the operations in which a single
// register per key would have given their results.
//
// It is a module of its own, so that programs that use the client do not depend on the checker.
package linearizability
