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
// [Start] needs no clean-up by the caller. Programs that are no tests call [New] and
// [Cluster.Close].
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
// servers stay.
//
// Ports are taken from 12000 to 32000, below the range of outgoing connections, so a member finds
// its ports free after a restart. They come in blocks of three. The test process listens on the
// first port of a block as long as it holds the block, so no two test processes get the same ports.
// If another program takes a port before the first start, the cluster starts on other ports.
//
// A failed test prints both ends of each log and keeps the logs; [Member.LogFile] returns where.
//
// # When a member serves
//
// A member serves once it says so over HTTP, which needs no user while authentication is on, and
// the cluster has decided its version. Before that it refuses every request.
//
// # Without the client
//
// [Member.Conn] and [Cluster.Pb] are plain gRPC connections, by which a test changes the cluster
// unnoticed by the client under test. [Member.Metrics] returns what a member counted, and
// [Member.OpenStreams] how many streams are open at it. The package does not depend on the client.
package etcdtest
