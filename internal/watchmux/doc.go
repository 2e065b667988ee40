// Package watchmux implements the Watch protocol on one gRPC stream, for any number of watchers. It
// is a state machine: it has no goroutine, channel or timer. A [Mux] is the handler of a link
// (internal/bidi). It derives every request from its state, so that a new stream needs nothing from
// the one before it.
//
// # States of a watcher
//
//	state      event                                      next       action
//	queued     first in the queue, the window has room    creating   send a create from next
//	creating   the server confirms it under an id         active     Created, the first time
//	creating   refused for the first time                 queued     first in the queue; a new
//	                                                                 stream if it is the token
//	creating   refused again                              done       Done, on this watcher only
//	creating   its context ends                           abandoned  once confirmed, cancel the id
//	active     events, progress                           active     deliver, move the revisions
//	active     the server cancels it, or compaction       done       Done; cancel if compacted
//	active     its context ends                           done       cancel
//	active     its backlog is over the limit              paused     cancel
//	paused     its consumer has read all                  queued
//	active     its shadow is confirmed (see below)        active     take over the shadow's id,
//	                                                                 cancel the old one
//	creating,  a message over the client's limit broke    queued,    end the watcher that is the
//	active     the stream, see oversize                   paused     only possible cause
//	creating,  the stream breaks                          queued     in the order in which they
//	active                                                           were added
//	any        the stream ends for good, or Halt          done       Done with the error
//
// # Invariants
//
//   - A watcher that is neither abandoned nor done is in one of four places: the queue, the creates
//     in flight, the map of active ids, or the set of paused watchers. The mux counts these
//     watchers, and stops its link when the last one has left.
//   - Only events that were handed to the sink and progress notices move the revision to resume
//     from. So a watcher that was paused or lost its stream resumes after its consumer's backlog.
//   - When a stream breaks, its ids, half-received fragments and progress requests are forgotten. A
//     request for progress by a consumer is made again on the next stream.
//   - The client chooses an id once in the life of a mux, and a server chooses one once on a
//     stream. So a late response for an old id finds no watcher.
//   - A watcher ends once: by a Cancel that returned true, or by one call of Done.
//   - Requests enter the link's queue under the mux's mutex, so they are sent in the order in which
//     they were decided. Which progress notices are stale depends on that order.
//   - The link's queue is bounded: it holds no more creates than the window allows, no more cancels
//     than ids are in use, and one request for progress.
//   - A response that breaks the protocol is ignored, or ends one watcher, or makes the mux
//     reconnect.
//
// # Revisions
//
// Each watcher has two revisions. next is the revision to resume from. It begins as the revision
// asked for; a watch from "now" takes the revision after that of its first created response. Each
// event and each progress notice moves it to the revision after its own.
//
// floor is the revision from which the current stream was asked to begin, and later that of the
// last event. Events below floor are dropped: they were delivered before, or lie before the start.
// Events at floor are delivered, because a revision may continue in the next response. Progress
// moves next but not floor, so no notice can cause an event that follows it to be dropped.
//
// # Options that the mux adds
//
// The mux adds two options to creates, because etcd takes them. One is a watch id: servers choose
// the ids, but etcd uses an id that is given in the create. An answer then names its request, so it
// is safe to have many creates in flight. The other asks for large responses in fragments. Other
// servers of the protocol refuse or ignore these options. So the mux tries them with one create
// that carries an id (mode trying), when many watchers are queued or one begins in the past:
//
//	the create is             consequence
//	answered under that id    the server takes options; that is remembered, and later streams
//	                          begin with many creates in flight
//	answered under another    the server assigns ids: no more options
//	unanswered for a while    the create is sent once more without options: see Overdue
//	refused, and accepted     no more options
//	without options
//	unanswered, the stream    no more options if the status may be about an option; if not, the
//	is ended                  next stream has none, and after the second time no stream has any
//
// [Servers] keeps the result for all muxes of a client. The refusal of a create does not name its
// id. If several creates are in flight, the mux waits until all others are answered, and so learns
// which watcher was refused.
//
// # Large responses
//
// The mux asks for fragments where they help more than they cost: see wantsFragmentsLocked.
// Fragments are delivered revision by revision. A revision is delivered when the next one has begun
// or the response has ended, see assemble. A watcher may pause between two revisions. Fragments are
// merged into larger responses only for a consumer who asked for fragments, or on a client without
// a limit on messages, and only up to MergeBytes.
//
// A message over the client's limit ends the stream. oversize finds the watcher that it was for.
//
// # Progress
//
// A requested progress notice has id −1 and is about all watchers that existed when the server
// computed it. The server may send it after it has confirmed a younger watcher, to which the notice
// does not apply. Such a watcher ignores notices that may be older than itself, if they are for
// revisions that it has yet to receive: see progress.
//
// Servers before 3.4.25 and 3.5.8 answer a request for progress at once. The answer overtakes
// events that wait in another queue, and comes also while a watcher catches up. A notice of such a
// server must not move the revision to resume from. The mux finds out by a test on each stream
// which kind of server it has, and does not trust its version:
//
//	untested   the server has answered a request; the order of its notices is not known
//	testing    a pair "create from the past, progress" is sent for a shadow; when the shadow is
//	           confirmed, a watch is cancelled
//	ordered    the cancel was answered and the request was not
//	unordered  the request was answered; tested again, maxOrderTests times in all
//
// The test is a proof for this reason. Old servers put the answer to a request for progress into
// the queue of confirmations and answers to cancels. That queue keeps its order, so the notice
// comes before the answer to a cancel that was sent later. Servers that keep notices and events in
// one queue do not answer the request while a watch of the stream catches up. Each watch from a
// past revision is one that catches up until the server has looked at it, which it does ten times a
// second. If the server looks between the two requests, it answers, and the test proves nothing.
//
// On an ordered stream a notice moves each watcher that it applies to. On any other stream a notice
// moves watchers only when a later notice has come and the stream was quiet for a second between
// the two, because the server has then sent everything in its queues. A watcher that was created
// from a past revision may still catch up, and is not moved at all: a server may read the past for
// longer than any wait. Consumers who asked for progress are shown the notices of both kinds of
// streams.
//
// # Shadows
//
// A shadow is a second create for an active watcher, from the latest revision that the stream has
// shown. It has no sink. When it is confirmed, either the shadow is cancelled, or the watcher takes
// over the shadow's id and its former id is cancelled. If the shadow is refused, or the stream
// breaks, the watcher stays as it was. A watcher takes its shadow over if it waits for a revision
// that the store has not reached, because etcd answers no request for progress on a stream with
// such a watch. Events of the new id below floor are dropped. A compaction of revisions up to next
// ends the new id only: the watcher is created again.
package watchmux
