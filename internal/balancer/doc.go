// Package balancer is a gRPC load-balancing policy: it decides which member gets the next request.
//
// Requests go round-robin over the healthy members. Package memberhealth decides which members are
// healthy. This package counts requests and received bytes for memberhealth, and sends probes
// (health checks of silent members). It closes the connection of each member that memberhealth
// ejects. gRPC then connects again, and the requests that wait on the closed connection can be sent
// to other members.
//
// gRPC dials, and sends each request over the connection that a picker names. The policy makes one
// connection for each address, and makes it again when it is lost.
//
// If health checks are enabled, the policy asks the health service of each server. gRPC could do
// that itself, but would log an error for each server without a health service.
//
// # States of a connection
//
//	state       event                                    next
//	connecting  connected, with a health check           unchecked
//	connecting  connected, without a health check        healthy
//	connecting  cannot connect                           failed
//	failed      connected, with a health check           unchecked
//	failed      connected, without a health check        healthy
//	unchecked   the server serves, has no health         healthy
//	            service, or does not answer for 1 s
//	unchecked   the server does not serve, or refuses    unhealthy
//	            the health check
//	healthy     the server no longer serves              unhealthy
//	unhealthy   the server serves                        healthy
//	any         the connection is lost                   connecting
//
// Requests use the healthy connections. If no connection is healthy, connecting or unchecked,
// requests use the unhealthy ones. While a connection is failed, gRPC tries again and again to
// connect.
//
// # Locks
//
// The policy's mutex is taken first. It is held while the policy passes a picker to gRPC, which
// takes locks of its own. gRPC holds none of its locks when it calls this package.
//
// The tracker's mutex is taken last. The tracker compares the members at regular ticks. Each tick
// releases this mutex before it closes connections and reports changes.
package balancer
