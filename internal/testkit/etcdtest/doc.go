// Package etcdtest starts real etcd servers for tests, examples and programs that measure:
// processes of the pinned etcd binary on loopback ports, that can be killed, paused and started
// again on the same data and ports.
//
//	func TestPutSurvivesALostLeader(t *testing.T) {
//		cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
//		client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints()})
//		…
//		cluster.Leader().Kill()
//		…
//	}
//
// [Start] needs no clean-up by the caller; [New] and [Cluster.Close] serve where there is no test.
// The options choose the number of members, TLS with or without client certificates, unix sockets,
// token kinds and lifetimes, and the rest of etcd's flags.
//
// # The binary
//
// It is bin/etcd at the root of the module, which `make etcd` builds, or the file that $ETCD_BIN
// names. Without one every start fails with [ErrNoBinary]. Variables that etcd would read as flags
// (ETCD_…) are not passed on.
//
// # What differs from a server in earnest
//
//   - Heartbeats and elections are ten and two times faster (see [WithMembers]), so a cluster serves within fractions of a second,
//     and has a new leader within one or two of losing it.
//   - Nothing is fsynced. A killed process loses no write all the same.
//   - Members can be added while others are down or have only just come up (--strict-reconfig-check=false).
//   - Passwords are hashed at bcrypt's lowest cost; the JSON gateway is off.
//   - Peers talk without TLS.
//
// [WithArgs] undoes any of these.
//
// # Processes, ports and files
//
// On Linux the kernel kills the servers of a test process that dies by whatever cause; elsewhere
// such servers stay. Ports are taken from 12000 to 32000, below the range of outgoing connections,
// and no two test processes on a machine get the same ones. A failed test prints both ends of each
// log and keeps the logs whole; [Member.LogFile] tells where. Nothing else outlives the test.
//
// # Past the client
//
// [Member.Conn] and [Cluster.Pb] are plain gRPC connections, with which a test does what the client
// under test must not know of, [Member.Metrics] reads what a member counted, and
// [Member.OpenStreams] how many streams are open at it. The package does not depend on the client.
package etcdtest
