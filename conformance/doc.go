// Package conformance is the module in which other people's code is built against this client: the
// integration tests of the etcd project (suite), and programs that use a client (consumers). The
// module gets them from the module proxy and replaces the client by this repository. They are not
// part of the repository.
//
//	target                what                                fails if
//	make conformance      the etcd project's integration      a test fails, or fewer tests are run
//	                      tests of its client, unmodified     than with the published client
//	make conformance-all  also behind etcd's gRPC proxy, and  a test fails that is not listed in
//	                      the tests of the server             suite/modes.go with its reason
//	make consumers        etcdctl and etcd's gRPC proxy,      a command has other output or status
//	                      built with either client: the       than with the published client, or
//	                      same session on real servers        lacks the text that its step requires
//
// One file of the tests cannot be built, because it tests a module that the module proxy does not
// have. Go cannot leave out a file of another module, so those tests are built from a copy without
// it.
//
// The etcd project's tests skip themselves if they see a goroutine of an earlier test when they
// begin. Such a test is started again by itself. It fails if the goroutine is the client's.
//
// To add a consumer: require its module (go get -tool MODULE@VERSION in conformance/), build it in
// consumers/main.go, and add the commands of its session to consumers/steps.go, each with what its
// output must contain, so that two failures do not count as equal. Commands that wait for each
// other are functions in consumers/together.go.
package conformance
