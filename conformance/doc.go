// Package conformance is the module in which other people's code is built against this client: the
// integration tests that the etcd project holds its own client to (suite), and programs that use it
// (consumers). Nothing of either is part of the repository.
package conformance
