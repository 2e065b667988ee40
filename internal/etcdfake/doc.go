// Package etcdfake adds to the public package etcdfake what only the tests of this module need:
// scripts. A script is a function of the test that answers requests or serves streams in place of
// one member, and that may break etcd's protocol.
//
// A [Server] is one member of a cluster of the public package, and serves on a TCP port.
// Interceptors of its gRPC server call the scripts. Check and Watch of the gRPC health service
// answer with the status that [Server.SetServing] has set. A request goes through these steps:
//
//  1. It is added to the request log.
//  2. It waits for the time set by [Server.Delay].
//  3. It fails if [Server.Fail] has set a failure.
//  4. The script answers it. If there is no script, the member answers it.
//  5. Its answer is replaced by an error if [Server.FailAfterApply] has set a failure.
//
// A stream is added to the log and may fail when it is opened. Later, its messages go through steps
// 1, 2 and 5.
//
// Connections in memory, such as those of [Server.Apply] and of Cluster.Client, bypass scripts.
//
// # What to use
//
//	to see what was asked of a member          [Server.Requests], [RequestsOf], [Server.Calls],
//	                                           [Server.Applied], [Server.Streams]
//	for a lost request, or a lost answer       [Server.Fail], [Server.FailAfterApply]
//	for a method that is slow or frozen        [Server.Delay]; a delay of an hour freezes it
//	for an unusual answer or stream            [Server.Unary], [Server.Watch],
//	                                           [Server.KeepAlive], [Server.Stream]
//	to get the member's own answer in a script [Server.Apply], [Server.ServeWatch]
//	for a cut stream                           [Server.Break]
//	for an old server, a proxy, a benchmark    [WithEtcd35], [WithOwnWatchIDs], [WithCanned]
//	for several members that share one state   [StartCluster]
//
// # How streams end
//
// The handler of a stream runs on a goroutine of its own, so Break and Stop end the stream even if
// the handler is blocked. The test does not finish before all handlers have returned.
package etcdfake
