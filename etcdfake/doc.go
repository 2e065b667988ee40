// Package etcdfake is an in-memory fake of an etcd cluster. It runs inside the process of a test.
//
// The fake answers as a real etcd does. It has revisions, transactions, compaction, watches, leases
// that expire, users and permissions, alarms, members, snapshots, and etcd's errors with their
// codes and texts. Tests in this module send random histories of requests to the fake and to a real
// server, and compare every answer, event and error.
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
// There is no clock to set. Outside of testing/synctest the cluster uses real time. Inside of a
// bubble of testing/synctest it uses the bubble's virtual time. In a bubble synctest.Wait returns
// when all answers and events have arrived, because a goroutine that waits on a connection in
// memory is durably blocked. Make the cluster and its clients inside of the bubble. Connections
// over TCP do not work in a bubble. Watches of the published client, go.etcd.io/etcd/client/v3
// 3.7.3, do not work in a bubble either: while such a watch is open, virtual time stands still.
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
//	users, a quota, an old server, a learner, short   [WithUsers], [WithQuota], [WithVersion],
//	leases                                            [WithLearner], [WithElectionTimeout]
//	TLS, interceptors                                 [WithServerOptions]
//	what is stored, and what was asked                [Cluster.Dump], [Cluster.Leases],
//	                                                  [Cluster.Calls], [Cluster.Requests]
//	connections and streams that are left open        [Member.Conns], [Member.Streams]
//
// # Model
//
// The cluster has one state: keys, leases, users and members. All members share this state, so a
// write is visible on all members at once. The faults that a test causes do not change the state.
// They act on connections ([Member.Stop], [Member.Cut], [Member.Mute]), on calls before and after
// their effect ([Cluster.On]), and on how old the data is that a member shows ([Member.Lag]).
//
// A call goes through these steps:
//
//  1. The member adds the call to the request log.
//  2. The function given to [Cluster.On] decides what happens to the call, and may delay it.
//  3. If the member defragments, the call waits. If the member is a learner, it refuses all calls
//     except the few that a learner in etcd answers. If there is no leader, a call whose metadata
//     require a leader is refused, and any other call that needs a leader waits for one.
//  4. The call takes effect.
//  5. If the member lags, the answer to a call that needs a leader waits.
//  6. The member sends the answer, or the error of [LoseAnswer].
//
// The cluster keeps these promises. A call that was refused has no effect. A call whose context
// ended before step 4 has no effect. A write whose answer is lost has happened once. A watch gets
// every event after its start once, in the order of revisions, or is cancelled with the reason that
// etcd gives. A lease that is renewed in time does not expire. When a lease expires, all its keys
// are deleted in one revision.
//
// # At the end of the test
//
// At the end of the test the cluster logs the calls that still wait, the watches that are open, and
// the leases that were not revoked. It logs at most 20 of each kind. If the test has failed, it
// also logs the last 20 requests. If the call, the watch or the lease was made by a client that
// [Cluster.Client] returned, the log names the lines of the test that made it. Go shows the log of
// a test only if the test fails or if tests run with -v.
//
// # What it is not
//
//	consensus                there is none: if a majority of the members is stopped, the other
//	                         members still serve; use LoseLeader for a time without a leader
//	a disk                   nothing survives the process; the size of the database file is an
//	                         estimate; Hash is not the hash of etcd's file (HashKV is exact)
//	the expiry of leases     a lease expires exactly when its time has passed; etcd takes up to half
//	                         a second more
//	a member that lags       it knows of a compaction at once, and a serializable transaction on it
//	                         reads the newest revision
//	members that come or go  a member that MemberAdd adds never starts; a member that MemberRemove
//	                         removes goes on serving
//	users by certificate     users log in with passwords; tokens are simple tokens, not JWT
//	hashed passwords         UserAdd does not take them, and a snapshot does not hold them: bcrypt
//	                         would be one more module for every user of this module; users cannot
//	                         log in after a snapshot was restored, so turn authentication off
//	                         before the snapshot
//	a downgrade              a downgrade is validated and shown by Status, and does not happen
//	permissions on empty     if the range end of a request is not above its key, the answer of etcd
//	intervals                depends on the shape of a tree of permissions; here only the key has to
//	                         be permitted
//	crashes                  the fake does not crash; etcd crashes at a MemberUpdate with a
//	                         malformed URL, and at a transaction that deletes a key and then puts
//	                         it with IgnoreValue; if one transaction deletes a key and puts it
//	                         again, and the keyspace is then compacted at the revision of this
//	                         transaction, etcd crashes at the next range of the key
//	the gRPC proxy, the      these are not part of the fake
//	gateway, metrics
package etcdfake
