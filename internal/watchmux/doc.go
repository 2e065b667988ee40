// Package watchmux implements etcd's Watch protocol for many watchers on one gRPC stream. A [Mux]
// is a state machine: it has no goroutine, channel or timer. It handles the events of a link of
// package bidi, which opens a new stream each time one breaks. The mux derives every request from
// its own state. So a new stream needs nothing from the stream before it.
//
// The mux sends three kinds of requests. A create begins a watch; the server confirms or refuses
// it. A cancel ends a watch. A progress request asks for a progress notice, which says up to which
// revision the server has sent all events.
//
// # States of a watcher
//
// The queue holds watchers whose creates are yet to be sent. The window is the number of creates
// that may be unanswered at a time. The backlog of a consumer is what its sink has taken and the
// consumer has not read.
//
//	state      event                                      next       action
//	queued     first in the queue, the window has room    creating   send a create from the revision
//	                                                                 to resume from
//	creating   the server confirms the create             active     Created, only the first time
//	creating   the create is refused for the first time   queued     first in the queue; a new
//	                                                                 stream if the user's token was
//	                                                                 refused
//	creating   refused again, or compacted                done       Done, for this watcher only
//	creating   Cancel                                     abandoned  when it is confirmed, cancel
//	                                                                 its watch
//	active     events, or a progress notice               active     deliver, move next and floor
//	                                                                 (see Revisions)
//	active     the server ends the watch                  done       Done; cancel the watch if its
//	                                                                 revision is compacted
//	active     Cancel                                     done       cancel the watch
//	active     its backlog is over the limit              paused     cancel the watch
//	paused     its consumer has read the backlog          queued
//	active     its shadow is confirmed (see Shadows)      active     keep one of the two ids, cancel
//	                                                                 the other
//	creating,  a message over the client's limit broke    queued or  Done, if the message was
//	active     the stream (see oversize)                  paused     certainly for this watcher
//	creating,  the stream breaks                          queued     in the order in which they
//	active                                                           were added
//	queued,    Cancel                                     done
//	paused
//	any        the stream ends for good, or Halt          done       Done with the error
//
// # Invariants
//
//   - A watcher that is neither abandoned nor done is in one of four places: the queue, the creates
//     in flight, the map of active ids, or the set of paused watchers. The mux counts these
//     watchers, and stops its link when the last one has left.
//   - The revision to resume from is moved by two things only: a progress notice, and an event that
//     was handed to the sink. So a watcher that was paused or lost its stream resumes after its
//     consumer's backlog.
//   - When a stream breaks, its ids, half-received fragments and progress requests are forgotten.
//     If a consumer has asked for progress, the request is sent again on the next stream.
//   - The client never chooses an id twice in the life of a mux, and a server never chooses one
//     twice on a stream. So a late response for an old id finds no watcher.
//   - A watcher ends once: by a Cancel that returned true, or by one call of Done.
//   - Requests enter the link's queue under the mux's mutex, so they are sent in the order in which
//     they were decided. The mux relies on this order to tell whether a progress notice may be
//     older than a watcher.
//   - The link's queue is bounded: it holds no more creates than the window allows, no more cancels
//     than there were ids in use, and one progress request.
//   - A response that breaks the protocol is ignored, or ends one watcher, or makes the mux
//     reconnect.
//
// # Revisions
//
// Each watcher has two revisions, next and floor.
//
// next is the revision to resume from:
//   - It begins as the revision that the consumer has asked for.
//   - For a watch from "now", the server's first confirmation sets next. It becomes the revision
//     after the one in the confirmation.
//   - Each event and each progress notice moves next to the revision after its own.
//
// Events of revisions below floor are dropped. They were delivered before, or lie before the start
// of the watch:
//   - On each stream, floor begins as the revision from which the watch is created.
//   - Each event moves floor to its own revision. Events at floor are delivered, because a revision
//     may continue in the next response.
//   - A progress notice does not move floor, so it never causes a later event to be dropped.
//
// # Options that the mux adds
//
// The mux adds two options to creates:
//   - A watch id. By default, servers choose the ids of watches, but etcd takes an id from the
//     create. The confirmation then names its create, so many creates may be in flight.
//   - A flag that asks for large responses in fragments.
//
// Other servers of the protocol refuse or ignore these options. So the mux first tries them with a
// single create. It does so when many watchers are queued, or when one is to get fragments:
//
//	reaction of the server           consequence
//	confirms the create under the    the server takes options; that is remembered, and later streams
//	given id                         begin with many creates in flight
//	confirms it under another id     the mux adds no more options, on any stream
//	does not answer for a while      the create is sent again, without options (see Mux.Overdue)
//	refuses the create, and then     the mux adds no more options, on any stream
//	confirms it without options
//	ends the stream with a status    the mux adds no more options, on any stream
//	that may be about an option
//	ends the stream otherwise        the next stream has no options; if its creates succeed and this
//	                                 happens twice, the mux adds no more options on any stream
//
// [Servers] keeps the result for all muxes of a client.
//
// Most refusals do not name the create that was refused. If several creates are in flight, the mux
// counts the refusals. Once there are as many as unanswered creates, all of these creates were
// refused.
//
// # Large responses
//
// The mux asks for fragments where they help more than they cost: see wantsFragmentsLocked.
// Fragments are delivered revision by revision. A revision is delivered when the next revision has
// begun, or when the response has ended: see assemble. So a watcher may be paused between two
// revisions of one response.
//
// Fragments are merged into larger responses in two cases: the consumer has asked for fragments, or
// the client receives messages of any size. They are merged only up to MergeBytes.
//
// A message over the client's limit ends the stream. The type oversize describes how the mux finds
// the watcher that the message was for.
//
// # Progress
//
// A notice that answers a progress request has the watch id −1. It applies to all watchers that
// existed when the server computed it. The server may confirm a new watcher between computing a
// notice and sending it. The notice does not apply to this watcher. So a watcher ignores a notice
// if both of these hold (see the type progress):
//   - The server may have computed the notice before the watcher existed.
//   - The revision of the notice is not below the revision from which the watcher was created.
//
// Servers before 3.4.25 and 3.5.8 answer a progress request at once. Their notice overtakes events
// that wait in another queue. It also comes while a watcher still receives past events (catches
// up). A notice of such a server must not move the revision to resume from.
//
// The mux does not trust the server's version. It tests on each stream which kind of server it has.
// A stream is in one of these states:
//
//	untested   the server has answered a progress request; the order of its notices is not known
//	testing    the mux has sent a create for a shadow (a second watch for an active watcher, see
//	           Shadows), and then a progress request; when the shadow is confirmed, the mux cancels
//	           the shadow, or the watch that the shadow replaces
//	ordered    the server has answered the cancel, and has not answered the progress request by then
//	unordered  the server has answered the progress request first; the test is repeated, up to
//	           maxOrderTests tests in all
//
// The test is a proof for this reason. Old servers put the answer to a progress request into the
// queue of confirmations and answers to cancels. That queue keeps its order. So the notice comes
// before the answer to a cancel that was sent later.
//
// Newer servers keep notices and events in one queue. They do not answer a progress request while a
// watch of the stream catches up. A watch from a past revision, such as the shadow, catches up
// until the server has served it. That happens ten times a second. If it happens between the create
// and the progress request, the server answers the request, and the test proves nothing.
//
// On an ordered stream, a notice moves each watcher that it applies to. On any other stream, a
// notice moves watchers only after a second of silence and a later notice. The server has then sent
// everything in its queues. A watcher from a past revision is not moved at all on such a stream. It
// may still catch up, and nothing limits how long that takes. On both kinds of streams, consumers
// who have asked for progress are shown the notices.
//
// # Shadows
//
// A shadow is a second create for an active watcher. It starts from the latest revision that the
// stream has shown, and has no sink.
//
// Shadows have two uses. One is the test of the order of notices. The other is a watcher that waits
// for a revision that the store has not reached: etcd answers no progress request on its stream,
// but always answers a create. When the shadow is confirmed, there are two cases:
//   - The watcher waits for such a revision. It takes over the shadow's id, and its former id is
//     cancelled.
//   - The watcher does not wait. The shadow is cancelled.
//
// If the shadow is refused, or the stream breaks, the watcher stays as it was.
//
// After a watcher has taken over its shadow's id, events of this id below floor are dropped. The
// server may end the id because revisions before next were compacted. The watcher needs none of
// these revisions, and is created again.
package watchmux
