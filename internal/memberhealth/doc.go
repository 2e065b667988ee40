// Package memberhealth decides which members of a cluster are healthy.
//
// It is a state machine. Its owner, package balancer, counts each member's requests and the bytes
// received from it, takes samples by a timer, and carries out the actions that [Decide] returns.
// The package starts no goroutine and knows neither connections nor gRPC.
//
// # States
//
//	state     event                                             next     action
//	healthy,  silent for the stall timeout, or for 10 s if it   suspect  probe it, and its peers if
//	slow      has no peer                                                they have been silent, too
//	suspect   sends anything, or answers the probe              healthy or slow, as before
//	suspect   has sent nothing for 700 ms after the probe, but  ejected  close its connection
//	          a peer has, and not only writes are pending
//	suspect   silent for 15 s, and has not answered the probe   ejected  close its connection
//	any       stuck                                             ejected  close its connection
//	ejected   has a new connection                              slow
//	healthy   for ten ticks its latency exceeds 5 times that    slow     one request at a time, at
//	          of the quickest peer plus 50 ms                            intervals of 8 latencies,
//	                                                                     2 s at most
//	slow      its latency is under half of that bound           healthy
//
// A member is silent while the client waits for it and receives nothing from it. The client waits
// for a member while requests to it are outstanding, or while the member is probed because a stream
// went silent.
//
// A suspect member gets no new requests if a peer has sent something since the member fell silent.
//
// The stall timeout is four times the typical latency, but at least 200 ms. It doubles, up to 2 s,
// each time a suspect member answers a probe, and is reset when the member answers a request.
//
// The typical latency is the median of the latencies of all members. The latency of a member is the
// number of its outstanding requests divided by its answers a second (Little's law). So no clock is
// read for a request.
//
// A member is stuck if it is alive and answers no request, for example while it defragments its
// store or waits for other members. All of these must hold:
//
//   - It has four or more requests, and has answered none of them for a second.
//   - It has sent less than 16 KiB in that second.
//   - In the same second, a healthy and quick peer has answered as many idempotent requests as the
//     member has left unanswered.
//   - It has left a read of one key unanswered for half a second.
//
// After a member was ejected as stuck, one unanswered request on its new connection is enough to
// eject it again.
//
// An ejected member may be far behind its peers when it has a new connection. Until it has caught
// up, it answers late and refuses proposals. So it is slow at first, until it answers quickly
// again.
//
// A refusal is the answer of a member that does not serve, for example because it has no leader. A
// refusal comes at once. So it does not count as an answer when the latency is computed, and a
// member that only refuses becomes slow.
//
// # Invariants
//
//   - A member is only compared with its peers over the same time. If all members are silent, or
//     all are equally slow, no member is ejected. Only a connection that is silent for 15 s is
//     closed in any case.
//   - At least one member may always get requests.
//   - Time in which this process did not run does not count as silence of a member.
//   - A connection is not closed while answers arrive on it.
//   - If only writes are pending on a connection, and no stream has gone silent, the connection is
//     closed only after 15 s of silence: the writes may still be answered, and cannot be sent to
//     another member.
package memberhealth
