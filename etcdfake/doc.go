// Package etcdfake is an etcd cluster for tests, in the test's own process and time.
//
// It answers as a real etcd does: revisions, transactions, compaction, watches, leases that expire,
// users and permissions, alarms, members, snapshots, and etcd's errors with their codes and texts.
// Tests in this module send random histories of requests to it and to a real server, and compare
// every answer, event and error.
//
//	func TestFailover(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			cluster := etcdfake.New(t)
//			client := cluster.Client()
//			…
//			time.Sleep(time.Minute) // virtual: a lease of a minute expires here, in microseconds
//		})
//	}
//
// # Time
//
// There is no clock to set. Outside of testing/synctest everything goes by real time. Inside of a
// bubble of testing/synctest everything goes by the bubble's virtual time. synctest.Wait returns
// there when all answers and events have arrived, because a goroutine that waits on a connection in
// memory is durably blocked. Make the cluster and its clients inside of the bubble. Connections
// over TCP do not work in a bubble. Watches of the published client, go.etcd.io/etcd/client/v3
// 3.7.3, do not work there either: while one is open, virtual time stands still.
//
// # What to use
//
//	a client of this package's module                 [Cluster.Client]
//	any other gRPC client in this process             [Cluster.Dialer] and [Cluster.Endpoints]
//	another process, another language                 [Cluster.Listen]
//	a lost request, a lost answer, a slow or a        [Cluster.On] with [Refuse], [LoseAnswer],
//	frozen call, an unusual answer                    [Delay], [Answer], [Edit], or a function that
//	                                                  blocks; [Times] for the first calls only
//	a crash, a broken or a silent network, streams    [Member.Stop], [Member.Cut], [Member.Mute],
//	that end                                          [Member.EndStreams]
//	a member that is behind, or busy                  [Member.Lag], [Member.Defragment]
//	no leader                                         [Cluster.LoseLeader]
//	a compaction, a revoked lease, expired tokens     [Cluster.Compact], [Cluster.Revoke],
//	                                                  [Cluster.ExpireTokens]
//	users, a quota, an old server, a learner, leases  [WithUsers], [WithQuota], [WithVersion],
//	of a second                                       [WithLearner], [WithElectionTimeout]
//	TLS, interceptors                                 [WithServerOptions]
//	what is stored, and what was asked                [Cluster.Dump], [Cluster.Leases],
//	                                                  [Cluster.Calls], [Cluster.Requests]
//	connections and streams that are left open        [Member.Conns], [Member.Streams]
//
// # Model
//
// The cluster has one state, under one mutex. Its members are views of this state: a write is in
// all of them at once. Members differ in what they show and in how they fail. Faults do not change
// the state. They act on connections ([Member.Stop], [Member.Cut], [Member.Mute]), on calls before
// and after their effect ([Cluster.On]), and on what a member shows ([Member.Lag]).
//
// A call goes through these steps:
//
//	it is entered into the log → On decides, and delays → a member that defragments, learns, or has
//	no leader makes it wait or refuses it → it takes effect → a member that lags makes its answer
//	wait → the answer, or the error of LoseAnswer
//
// The cluster keeps these promises. A call that was refused, or whose context ended before its
// effect, has no effect. A write whose answer is lost has happened once. A watch gets every event
// after its start once, in the order of revisions, or is cancelled with the reason that etcd gives.
// A lease that is renewed in time does not expire. When a lease expires, all its keys are deleted
// in one revision.
//
// # At the end of the test
//
// The cluster logs which calls still wait, which watches are open and which leases were not
// revoked, 20 of each kind, and after a failure the last 20 requests. If a client that
// [Cluster.Client] returned has made the call, the watch or the lease, the log names the lines of
// the test that made it. Go shows the log of a test if the test fails.
//
// # What it is not
//
//	consensus                the state is always agreed on; a majority of members that are stopped
//	                         does not stop the others, and LoseLeader stands for an election
//	a disk                   nothing survives the process; the size of the file is estimated;
//	                         Hash is not the hash of etcd's file (HashKV is exact)
//	the expiry of leases     exact to the moment; etcd takes up to half a second more
//	a member that lags       has the compactions at once, and no transaction in the past
//	members that come or go  one that MemberAdd adds never starts; one that MemberRemove removes
//	                         goes on serving
//	users by certificate     users log in with passwords; tokens are simple ones, not JWT
//	hashed passwords         neither taken nor kept in a snapshot: its users cannot log in where it
//	                         is restored, because bcrypt would be one more module for every user of
//	                         this one; turn authentication off before the snapshot
//	a downgrade              is validated and shown by Status, and does not happen
//	permissions on empty     etcd's answer depends on the shape of a tree; here the start of the
//	intervals                interval decides
//	crashes                  etcd crashes at a MemberUpdate with a URL that is none, at a
//	                         transaction that deletes a key and then keeps its value, and at a
//	                         range of a key that was deleted and put again at the revision of a
//	                         compaction; this does not
//	the gRPC proxy, the      not here
//	gateway, metrics
package etcdfake
