// Package etcdfake is a fake etcd member for tests: a gRPC server in the test's own process that
// offers all of etcd's services.
//
// Without a script it behaves like a small etcd: a multi-version map with revisions and compaction,
// working watches, leases that expire, a member list that names the server itself, users and
// tokens. TestSameAnswersAsEtcd sends the same random requests to it and to a real server and
// compares every answer. So a script only needs to say what is unusual.
//
// It is no model of consensus: there is no leader election and no history to check, and permissions
// are not enforced. Tests of those need real servers.
//
// # One request
//
// The methods come from the protobuf descriptors. Each request goes through the same steps:
//
//	observe → delay → fail before → check the token → script or default answer → fail after
//
// # What to use
//
//	to see what was asked, when, with what       [Server.Requests], [RequestsOf], [Server.Calls],
//	metadata                                     [Server.Applied], [Server.Streams]
//	for a lost request, or a lost answer         [Server.Fail], [Server.FailAfterApply]
//	for a method that is slow or never answers   [Server.Delay], with an hour
//	for an unusual answer or stream              [Server.Unary], [Server.Watch],
//	                                             [Server.KeepAlive], [Server.Stream];
//	                                             [Server.Apply], [Server.ServeWatch] for the rest
//	for a cut stream, cut connections, a crash   [Server.Break], [Server.CloseConns],
//	                                             [Server.Stop] and [Server.Restart]
//	for an old server, a proxy, a benchmark      [WithEtcd35], [WithOwnWatchIDs], [WithCanned]
//	for several members of one state             [StartCluster]
//	for a Send that waits for the peer's Recv    [WatchClient], [LeaseClient]
//
// # Ends
//
// The handler of a stream runs on a goroutine of its own, so Break and Stop end the stream even
// while the handler waits. Stop waits for all handlers and fails the test if one ignores its
// context.
package etcdfake
