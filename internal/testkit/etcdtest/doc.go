// Package etcdtest starts real etcd servers for tests, examples and programs that measure. The
// servers are processes of the pinned etcd binary on loopback ports. They can be killed, paused,
// and started again on their former data and ports.
//
//	func TestPutSurvivesALostLeader(t *testing.T) {
//		cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
//		client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints()})
//		…
//		cluster.Leader().Kill()
//		…
//	}
//
// [Start] needs no clean-up by the caller. Programs that are not tests call [New] and
// [Cluster.Close].
//
// # The binary
//
// The binary is bin/etcd at the root of the module, which `make etcd` builds. $ETCD_BIN can name
// another file. If there is no binary, every start fails with [ErrNoBinary]. Environment variables
// that etcd would read as flags (ETCD_…) are not passed on to it.
//
// # What differs from a production server
//
//   - Heartbeats and elections are faster: ten times with one member, two times with several (see
//     [WithMembers]). A cluster serves within fractions of a second, and has a new leader within
//     one or two seconds of losing its leader.
//   - Nothing is fsynced. A killed process still loses no write.
//   - Members can be added while others are down or have only just started
//     (--strict-reconfig-check=false).
//   - Passwords are hashed at bcrypt's lowest cost; the JSON gateway is off.
//   - Peers talk without TLS.
//
// [WithArgs] can undo the settings that are flags.
//
// # Processes, ports and files
//
// On Linux, the kernel kills the servers if their test process dies for any reason. On other
// systems, such servers keep running.
//
// Ports are taken from 12000 to 32000, below the range of outgoing connections. So a member finds
// its ports free after a restart. The ports are taken in blocks of three. The test process listens
// on a block's first port while it holds the block, so no two test processes get the same ports. If
// another program takes a port before the first start, the cluster starts on other ports.
//
// A failed test prints the first and the last lines of each log and keeps the logs.
// [Member.LogFile] returns the path of a log.
//
// # When a member serves
//
// A member serves once its HTTP endpoint /health says so and the cluster version is decided. Before
// that, it refuses every request. This package asks over HTTP, because that needs no
// authentication.
//
// # Without the client
//
// [Member.Conn] and [Cluster.Pb] return plain gRPC connections. With them, a test changes the
// cluster without the client under test. [Member.Metrics] returns the member's metrics.
// [Member.OpenStreams] returns how many streams are open at the member. The package does not depend
// on the client.
package etcdtest
