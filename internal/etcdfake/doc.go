// Package etcdfake is a fake etcd member for tests: a gRPC server in the test's own process that
// offers all of etcd's services.
//
// Without a script it behaves like a small etcd: a multi-version map with revisions and compaction,
// working watches, leases that expire, a member list that names the server itself, users and
// tokens. Every request is observed. Each method can be delayed, made to fail before or after it
// took effect, or scripted; streams can be broken, and the whole server stopped and restarted.
//
// It is no model of consensus: there is no leader election and no history to check, and permissions
// are not enforced. Tests of those need real servers.
package etcdfake
