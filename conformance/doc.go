// Package conformance is the module in which other people's code is built against this client: the
// integration tests of the etcd project (suite), and programs that use a client (consumers). This
// code is not part of the repository: it comes from the module proxy. A replace directive makes it
// use the client of this repository.
//
//	target                what                                fails if
//	make conformance      the etcd project's integration      a test fails, or fewer tests are run
//	                      tests of its client, unmodified     than with the published client
//	make conformance-all  also behind etcd's gRPC proxy, and  a test fails that is not listed in
//	                      the tests of the server             suite/modes.go with its reason
//	make consumers        etcdctl and etcd's gRPC proxy on    a command has other output or status
//	                      real servers, built once with       than with the published client, or
//	                      this client and once with the       its output lacks a text that is listed
//	                      published one                       for it in consumers/steps.go
//
// One file of the tests cannot be built, because it tests a module that the module proxy does not
// have. Go cannot leave out one file of a module, so the tests are built from a copy of their
// module without this file.
//
// The etcd project's tests skip themselves if they see a goroutine of an earlier test when they
// begin. If that goroutine is the client's, the skipped test counts as failed. Otherwise the test
// is run again in a process of its own.
//
// To add a consumer: require its module (go get -tool MODULE@VERSION in conformance/), build it in
// consumers/main.go, and add the commands to run to consumers/steps.go. List with each command a
// text that its output must contain: otherwise a command that fails the same way with both clients
// would pass. Commands that wait for each other are functions in consumers/together.go.
package conformance
