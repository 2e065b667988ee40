// Package keepalive keeps leases alive. It decides when each lease is renewed, notices when
// renewals go unanswered, and passes the server's answers, and why a lease ended, to the
// subscribers of the lease.
//
// The table is the state machine: it is given the time and returns what to do. The [Keeper]
// puts it under one mutex, drives it with one timer and speaks the LeaseKeepAlive protocol
// over one internal/bidi link. 50,000 leases cost the link's two goroutines, and one more
// while the timer fires.
//
// [Remote] opens the streams, with a token and on a member, and renews a lease once on a stream of
// its own. The [Confirmer] asks whether a doubtful lease is gone, on up to 16 goroutines while
// there are questions. The client gives both the functions that they need.
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
//	doubtful  the lease lives, or no answer       resting   due after a pause that grows; does not
//	                                                        expire before the TTL that is left; at
//	                                                        the second time the stream moves
//	waiting   the stream ends                     resting   due now
//	waiting   no answer within the stall timeout  resting   the stream moves; all in flight is due
//	resting   last subscriber leaves              gone
//	waiting   last subscriber leaves              orphan
//	orphan    a subscriber comes                  waiting   joins the request in flight
//	orphan    answer, end of stream, expiry       gone
//
// A stream that ends with "no leader" also closes the subscribers that require a leader. One
// that ends with "permission denied" also closes the lease whose request is the oldest in
// flight. When the keeper is closed, its context ends, or the client can open no stream, all
// subscribers are closed and KeepAlive fails from then on.
//
// # When leases are due
//
// Time is divided into steps, of which a TTL has 72 to 144 (a step is at least 10 ms). Renewals are
// due at the ends of steps. The leases that are due at one instant cost one timer, and their
// requests and answers share packets: 5,000 leases of 3 s are renewed at 25 instants a second. At
// most 5 % of the leases, or 16, are due at one instant. At that limit, a further lease is due at
// an earlier instant, so leases that were all renewed at once, because they were granted together
// or the stream was away, are spread over a third of the TTL by their next renewal.
//
// # Invariants
//
//   - An entry is in the map if and only if it is in the schedule. It has a subscriber or a request
//     in flight, and at most one request in flight; none while there is no stream.
//   - The schedule has an entry at the instant at which it needs attention, or at an earlier one:
//     answers to other leases postpone a stall without moving the entries that wait.
//   - A sink is closed exactly once, and not called afterwards.
//   - Requests are numbered in the order of sending. Requests sent together are ordered by
//     expiry, so after an outage the lease that is nearest to expiry comes first.
//   - No stream is opened while no lease is kept.
//
// Lock order: keeper, then link. Sinks are called with the keeper's mutex held.
package keepalive
