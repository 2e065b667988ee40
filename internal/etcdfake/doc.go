// Package etcdfake adds to the public etcdfake what only this project's tests need: scripts for
// the streams of one member, which may break the protocol, and answers of one member that are not
// those of etcd.
//
// What is written to the state, and all that is not scripted, is served by the public etcdfake. A
// Server is one of its members on TCP. Interceptors of its gRPC server put the script before the
// member, so a request goes through these steps:
//
//	observe → delay → fail before → script, or the member → fail after
//
// Connections in memory, as those of [Server.Apply] and of Cluster.Client, have no script.
//
// # What to use
//
//	to see what was asked of a member          [Server.Requests], [RequestsOf], [Server.Calls],
//	                                           [Server.Applied], [Server.Streams]
//	for a lost request, or a lost answer       [Server.Fail], [Server.FailAfterApply]
//	for a method that is slow or frozen        [Server.Delay], with an hour
//	for an unusual answer or stream            [Server.Unary], [Server.Watch],
//	                                           [Server.KeepAlive], [Server.Stream];
//	                                           [Server.Apply], [Server.ServeWatch] for the rest
//	for a cut stream                           [Server.Break]
//	for an old server, a proxy, a benchmark    [WithEtcd35], [WithOwnWatchIDs], [WithCanned]
//	for several members of one state           [StartCluster]
//
// # Ends
//
// The handler of a stream runs on a goroutine of its own, so Break and Stop end the stream even
// while the handler waits. The end of the test waits for all handlers.
package etcdfake
