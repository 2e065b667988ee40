// Package keepalive keeps leases alive. It decides when each lease is renewed, and notices when
// renewals are not answered. It passes the server's answers to the subscribers of the lease. When a
// lease ends, it passes them the reason.
//
// The table is the state machine: it is given the time and returns what to do. The [Keeper] guards
// it with a mutex, runs it when a timer fires, and speaks the LeaseKeepAlive protocol over one link
// (internal/bidi). 50,000 leases cost the link's two goroutines, and one more while the timer
// fires.
//
// [Remote] opens the streams, and chooses the token and the member of each. It also renews a single
// lease once, on a stream for that renewal only. If a member does not know a lease that was never
// renewed, the [Confirmer] asks another member whether the lease exists. It has up to 16 goroutines
// while there are questions. The client passes the functions that Remote and Confirmer need.
//
// # States
//
// An entry is one kept lease. Its subscribers are the KeepAlive calls that share it.
//
//	state     event                               next      action
//	none      first subscriber                    resting   due now; expires after the first
//	                                                        timeout
//	resting   due, and a stream is open           waiting   send one request
//	waiting   answer with a TTL                   resting   expires after the TTL; due TTL/3 ± 5 %
//	                                                        after sending, at the end of a step;
//	                                                        deliver to all subscribers
//	any       no TTL for a lease renewed before,  gone      close the subscribers: not found, or
//	          or revoked through this client                revoked
//	any       expiry passes                       gone      close the subscribers: expired
//	waiting   no TTL in the first answer          doubtful  ask another member for the lease's TTL
//	doubtful  the lease is gone                   gone      close the subscribers: not found
//	doubtful  the lease lives, or no answer       resting   due after a pause that grows; expires
//	                                                        no earlier than after the TTL left;
//	                                                        the second time, the stream moves
//	waiting   the stream ends                     resting   due at once
//	waiting   no answer within the stall timeout  resting   the stream moves; all leases in flight
//	                                                        are due at once
//	resting   last subscriber leaves              gone
//	waiting   last subscriber leaves              orphan
//	orphan    a subscriber comes                  waiting   joins the request in flight
//	orphan    answer, end of stream, expiry       gone
//
// "The stream moves" means that the keeper gives the stream up, and opens the next one on another
// member.
//
// When a stream ends with "no leader", the subscribers that require a leader are closed. When a
// stream ends with "permission denied", the server has refused the lease whose request is the
// oldest in flight: the subscribers of that lease are closed. When the keeper is closed, its
// context ends, or the client can never open a stream again, all subscribers are closed, and
// KeepAlive fails from then on.
//
// # When leases are due
//
// Time is divided into steps. A TTL has 72 to 144 steps, but a step is at least 10 ms. Renewals are
// due at the ends of steps. Leases that are due at one instant share one firing of the timer, and
// their requests and answers share packets: 5,000 leases of 3 s are renewed at 25 instants a
// second.
//
// At most 5 % of the leases, or 16 if that is more, are due at one instant. If an instant is full,
// a further lease is due at an earlier instant. So if all leases were renewed at once, because they
// were granted together or there was no stream, their next renewals are spread over a third of the
// TTL.
//
// # Invariants
//
//   - An entry is in the map if and only if it is in the schedule. It has a subscriber or a request
//     in flight. It has at most one request in flight, and none while there is no stream.
//   - The schedule holds an entry at the instant at which the entry needs attention, or at an
//     earlier one. It may be earlier because each answer on the stream postpones the stall of all
//     waiting entries, and does not move these entries in the schedule.
//   - A sink is closed exactly once, and not called afterwards.
//   - Requests are numbered in the order of sending. Requests that are sent together are ordered by
//     expiry, so after an outage the lease that expires first is renewed first.
//   - No stream is opened while no lease is kept.
//
// Lock order: keeper, then link. Sinks are called with the keeper's mutex held.
package keepalive
