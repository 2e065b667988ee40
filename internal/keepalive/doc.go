// Package keepalive keeps leases alive. It decides when each lease is renewed, and notices when
// renewals are not answered. It passes the server's answers to the subscribers of the lease. When a
// lease ends, the package passes the reason to its subscribers.
//
// The type table is the state machine: its methods are given the time and return what to do. The
// [Keeper] guards its table with a mutex, and calls the table's methods when a timer fires or an
// answer arrives. The Keeper sends the requests over one link of package bidi, which opens one
// LeaseKeepAlive stream after another. Any number of leases need only the link's two goroutines,
// and one more while the timer fires.
//
// [Remote] opens the streams, and chooses the token and the member of each stream. It also renews a
// single lease once, on a stream of its own. If a member does not know a lease that was never
// renewed, the [Confirmer] asks another member whether the lease exists. The Confirmer has up to 16
// goroutines while requests are unanswered. Remote and Confirmer reach the servers through
// functions that the client sets.
//
// # States
//
// An entry is one kept lease. Its subscribers are the KeepAlive calls that share it. Each
// subscriber has a [Sink], which receives the answers. An entry has one of these states:
//
//	resting   no request is in flight
//	waiting   a request is in flight
//	orphan    a request is in flight, but there is no subscriber any more
//	doubtful  the stream's member did not know the lease; another member is asked
//
// The table of the states uses these terms:
//
//   - A lease is due when the next request for it must be sent.
//   - A lease expires when the keeper has had no answer for the lease's whole TTL.
//   - The stall timeout is how long a stream may be silent while a request is in flight: a third of
//     the lease's TTL, or longer.
//   - A step is a part of the TTL; see the section "When leases are due".
//
// An entry changes its state as follows. A lease has the state "none" before it is kept, and "gone"
// when it is no longer kept.
//
//	state     event                               next      action
//	none      first subscriber                    resting   due at once; expires after
//	                                                        Config.FirstTimeout
//	resting   due, and a stream is open           waiting   send one request
//	waiting   answer with a TTL                   resting   deliver to all subscribers; expires
//	                                                        after the TTL; due TTL/3 ± 5 % after
//	                                                        the request was sent, at the end of a
//	                                                        step
//	any       answer without a TTL, for a lease   gone      close the subscribers: not found
//	          that was renewed before
//	any       revoked through this client         gone      close the subscribers: revoked
//	any       expires                             gone      close the subscribers: expired
//	waiting   answer without a TTL, for a lease   doubtful  ask another member for the TTL
//	          that was never renewed
//	doubtful  the other member says "gone"        gone      close the subscribers: not found
//	doubtful  the other member knows the lease,   resting   due after a pause that grows; does not
//	          or no member answers                          expire before the TTL that is left
//	waiting   the stream ends                     resting   due at once
//	waiting   the stream is silent for the stall  resting   move the stream; all leases with a
//	          timeout                                       request in flight are due at once
//	resting,  last subscriber leaves              gone
//	doubtful
//	waiting   last subscriber leaves              orphan
//	orphan    first subscriber                    waiting   the request in flight serves it, too
//	orphan    answer, end of the stream, expires  gone
//
// To move the stream is to give it up and to open the next one on another member. The keeper also
// moves the stream when a lease is doubtful for the second time and another member knows the lease.
//
// When a stream ends with "no leader", the subscribers that require a leader are closed.
//
// When a stream ends with "permission denied", the server has refused one lease, and the
// subscribers of this lease are closed. Servers answer in order, so it is the lease whose request
// is the oldest in flight. (If that may be a lease that is no longer kept, no subscriber is
// closed.)
//
// All subscribers are closed when the keeper is closed, when its context ends, or when the client
// can never open a stream again. KeepAlive fails from then on.
//
// # When leases are due
//
// Time is divided into steps, and renewals are due at the ends of steps. A TTL has 72 to 144 steps;
// it has fewer if they would be shorter than 10 ms. Leases that are due at one instant share one
// firing of the timer, and their requests and answers share packets. For example, 5,000 leases of
// 3 s are renewed at 25 instants a second.
//
// Sometimes all leases are renewed at once, because they were granted together or there was no
// stream. To spread their next renewals over a third of the TTL, at most 5 % of the leases, or 16
// if that is more, may be due at one instant. If an instant is full, further leases are due at
// earlier instants. (If these are all full, the limit is ignored.)
//
// # Invariants
//
//   - An entry is in the map of leases if and only if it is in the schedule. It has a subscriber or
//     a request in flight. It has at most one request in flight, and none while there is no stream.
//   - The schedule holds an entry at the instant at which the entry needs attention, or at an
//     earlier instant. It may be earlier for two reasons. Instants are rounded down, so that
//     entries share them. And an answer on the stream postpones the stall timeouts of all waiting
//     entries, but these entries are not moved in the schedule.
//   - A sink is closed exactly once, and not called afterwards.
//   - Requests are numbered in the order of sending. Requests that are sent together are ordered by
//     expiry, so after an outage the lease that expires first is renewed first.
//   - No stream is opened while no lease is kept.
//
// Lock order: the keeper's mutex is taken before the link's. Sinks are called with the keeper's
// mutex held.
package keepalive
