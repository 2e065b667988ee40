// Package balancer is gRPC's side of balancing: it decides which member gets the next request.
//
// Requests go round-robin over the healthy members. Which members are healthy is decided by
// package memberhealth; this package counts requests and received bytes for it, sends the
// probes, and closes the connections of ejected members, so that gRPC connects again and the
// requests that waited there can be repeated elsewhere.
//
// The connections are gRPC's: each endpoint has a pick_first child, which connects and
// reconnects. This package follows the servers' health services and picks among the children
// that are connected.
//
//   - balancer.go is the policy;
//   - picker.go is on the path of each request; stream_target.go picks for streams;
//   - member.go classifies answers and tracks the connection of one member;
//   - tracker.go knows the members; tick.go compares them by a timer while there are requests;
//   - probe.go sends a probe to one member;
//   - health_check.go follows each server's health service;
//   - fallback.go keeps members that fail their health check for when no other is connected;
//   - handshake.go delays connecting after a refused TLS handshake;
//   - failures.go remembers why members cannot be reached.
//
// Lock order: the tracker's mutex is taken last. A tick closes connections and reports
// changes after it has released it. The result of a health check is reported on a goroutine
// of this package, with a childSubConn's mutex held; the order is that mutex, pick_first's,
// endpointsharding's, then the tracker's or those of gRPC's connection. gRPC holds none of
// its later locks when it calls this package.
package balancer
