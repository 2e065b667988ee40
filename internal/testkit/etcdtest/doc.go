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
// # What differs from a production server
//
//   - Heartbeats and elections are ten and two times faster (see [WithMembers]): a cluster serves
//     within fractions of a second, and has a new leader within one or two seconds of losing it.
//   - Nothing is fsynced. A killed process still loses no write.
//   - Members can be added while others are down or have only just started
//     (--strict-reconfig-check=false).
//   - Passwords are hashed at bcrypt's lowest cost; the JSON gateway is off.
//   - Peers talk without TLS.
//
// [WithArgs] undoes any of these.
//
// # Processes, ports and files
//
// On Linux the kernel kills the servers of a test process that dies for any reason; elsewhere such
// servers stay. The kernel does that when the thread ends that started the server, so one goroutine
// for each server starts it, reaps it, and keeps its thread meanwhile.
//
// Ports are taken from 12000 to 32000, below the range of outgoing connections. They come in blocks
// of three, and the test process listens on the first port of a block as long as it holds the
// block: no two test processes on a machine get the same ports, and a member finds its own again
// after a restart. If another program takes a port before the first start, the start is tried again
// on other ports; no other failure is tried again.
//
// A failed test prints both ends of each log and keeps the logs whole; [Member.LogFile] returns
// where. Nothing else outlives the test.
//
// # When a member serves
//
// A member serves once it answers over HTTP that it does and the cluster has decided its version;
// before that it refuses every request. HTTP needs no user while authentication is on. The members
// of a new cluster start one after the other, each when the one before answers its peers: a member
// that finds a peer listening but without an answer waits a second for it. The second voter of a
// cluster joins as a learner and is promoted, because once it counts, the first member has no
// majority without it.
//
// # Without the client
//
// [Member.Conn] and [Cluster.Pb] are plain gRPC connections, by which a test changes the cluster
// unnoticed by the client under test. [Member.Metrics] returns what a member counted, and
// [Member.OpenStreams] how many streams are open at it. The package does not depend on the client.
package etcdtest
